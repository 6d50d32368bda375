/** Where platform events are switched on: tells the integration which accounts changed. */
trigger D365AccountChanged on Account(after insert, after update, after delete, after undelete) {
    D365RecordChanges.announce(
        'Account',
        Trigger.operationType,
        Trigger.isDelete ? Trigger.old : Trigger.new
    );
}
