/** Where platform events are switched on: tells the integration which won opportunities changed. */
trigger D365OpportunityChanged on Opportunity(
    after insert,
    after update,
    after delete,
    after undelete
) {
    D365RecordChanges.announceOpportunities(
        Trigger.operationType,
        Trigger.isDelete ? Trigger.old : Trigger.new,
        Trigger.oldMap
    );
}
