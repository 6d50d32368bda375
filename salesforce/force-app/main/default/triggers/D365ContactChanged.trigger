/** Where platform events are switched on: tells the integration which contacts changed. */
trigger D365ContactChanged on Contact(after insert, after update, after delete, after undelete) {
    D365RecordChanges.announce(
        'Contact',
        Trigger.operationType,
        Trigger.isDelete ? Trigger.old : Trigger.new
    );
}
