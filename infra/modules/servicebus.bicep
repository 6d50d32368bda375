// The namespace and its four queues. A test compares them with sandbox/topology.py.
// Sessions, duplicate detection and partitioning of a queue cannot be changed after its creation.

param name string
param location string
param tags object
param sku string
param queues object
param publicAccess bool
param localAuth bool
param lock bool
param workspaceId string

// Partitions would break sessions' order; nothing expires, because nothing may be lost silently.
var common = { lockDuration: 'PT1M', maxSizeInMegabytes: 5120, enablePartitioning: false }

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' = {
  name: name
  location: location
  tags: tags
  sku: sku == 'Premium' ? { name: sku, tier: sku, capacity: 1 } : { name: sku, tier: sku }
  properties: {
    disableLocalAuth: !localAuth
    minimumTlsVersion: '1.2'
    publicNetworkAccess: publicAccess ? 'Enabled' : 'Disabled'
  }
}

// The end of the line: no forwarding, no time to live, the highest delivery count (people look, nobody consumes).
resource deadLetter 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: queues.deadLetter
  properties: union(common, {
    maxDeliveryCount: 2000
    requiresSession: false
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'P1D'
  })
}

// Sessions are the buckets that keep the order of a root record. A hint sent twice within ten minutes is one hint.
resource changes 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: queues.changes
  properties: union(common, {
    maxDeliveryCount: 10
    requiresSession: true
    requiresDuplicateDetection: true
    duplicateDetectionHistoryTimeWindow: 'PT10M'
    forwardDeadLetteredMessagesTo: deadLetter.name
  })
}

// F&O writes it. Plain, because F&O sets neither session nor message ids.
resource events 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: queues.events
  properties: union(common, {
    maxDeliveryCount: 10
    requiresSession: false
    requiresDuplicateDetection: false
    forwardDeadLetteredMessagesTo: deadLetter.name
  })
}

// Scheduled steps of jobs. Plain, because the job's state blob lets only one step of it run.
resource jobs 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' = {
  parent: namespace
  name: queues.jobs
  properties: union(common, {
    maxDeliveryCount: 10
    requiresSession: false
    requiresDuplicateDetection: false
    forwardDeadLetteredMessagesTo: deadLetter.name
  })
}

resource keep 'Microsoft.Authorization/locks@2020-05-01' = if (lock) {
  name: 'keep'
  scope: namespace
  properties: { level: 'CanNotDelete', notes: 'Waiting changes and dead letters' }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: namespace
  properties: {
    workspaceId: workspaceId
    logs: [{ categoryGroup: 'allLogs', enabled: true }]
    metrics: [{ category: 'AllMetrics', enabled: true }]
  }
}

output id string = namespace.id
output name string = namespace.name
output host string = split(replace(namespace.properties.serviceBusEndpoint, 'https://', ''), ':')[0]
