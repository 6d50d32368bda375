/** Hands the announced changes to a job that delivers them. */
trigger D365RecordsChanged on D365_Records_Changed__e(after insert) {
    D365EventDelivery.accept(Trigger.new);
}
