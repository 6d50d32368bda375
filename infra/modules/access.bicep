// Who may do what: the app's identity and the people on duty. Each assignment says why it is needed.
// Not granted: Storage Queue and Table roles (no queue trigger, no Durable Functions), Key Vault write for the app.

param principalId string
param operatorPrincipalId string
param operatorPrincipalType string
param storageName string
param stateContainer string
param namespaceName string
param vaultName string
param insightsName string
param queues object
param scaleByQueueLength bool

var roles = {
  storageBlobDataOwner: 'b7e6dc6d-f1e8-4753-8033-0f276bb0955b'
  storageBlobDataContributor: 'ba92f5b4-2d11-453d-a403-e96b0029c9fe'
  serviceBusDataOwner: '090c5cfd-751d-490a-894a-3ce6f1109419'
  serviceBusDataReceiver: '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0'
  serviceBusDataSender: '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39'
  keyVaultSecretsUser: '4633458b-17de-408a-b874-0445c86b69e6'
  keyVaultSecretsOfficer: 'b86a8fe4-44ce-4948-aee5-eccb2c155cd7'
  monitoringMetricsPublisher: '3913510d-42f4-4e42-8a64-420c390055eb'
}
var hasOperators = !empty(operatorPrincipalId)

// The functions' triggers.
var received = [queues.changes, queues.events, queues.jobs]
// Hints, job steps, ends; events and hints are put back while the settings are wrong.
var sent = [queues.changes, queues.events, queues.jobs, queues.deadLetter]
// Replays are hints; a stranded job is armed again.
var sentByOperators = [queues.changes, queues.jobs, queues.deadLetter]

resource storage 'Microsoft.Storage/storageAccounts@2025-06-01' existing = {
  name: storageName
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2025-06-01' existing = {
  parent: storage
  name: 'default'
}

resource state 'Microsoft.Storage/storageAccounts/blobServices/containers@2025-06-01' existing = {
  parent: blobs
  name: stateContainer
}

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource receivedQueues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = [for queue in received: {
  parent: namespace
  name: queue
}]

resource sentQueues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = [for queue in sent: {
  parent: namespace
  name: queue
}]

resource operatorQueues 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = [for queue in sentByOperators: {
  parent: namespace
  name: queue
}]

resource deadLetters 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = {
  parent: namespace
  name: queues.deadLetter
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' existing = {
  name: vaultName
}

resource insights 'Microsoft.Insights/components@2020-02-02' existing = {
  name: insightsName
}

// Why Owner: the Functions host leases blobs and sets their access tier and tags in AzureWebJobsStorage; it also reads
// the deployed package and the app keeps its state there. Contributor is not enough for the host.
resource appBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(storage.id, principalId, roles.storageBlobDataOwner)
  scope: storage
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataOwner)
  }
}

// Why: the triggers receive from these queues, one assignment a queue; `dead-letter` is not among them.
resource appReceives 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in received: {
  name: guid(receivedQueues[i].id, principalId, roles.serviceBusDataReceiver)
  scope: receivedQueues[i]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
  }
}]

// Why: the webhook, the events, later attempts, job steps and dead letters are sent to these queues.
resource appSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in sent: {
  name: guid(sentQueues[i].id, principalId, roles.serviceBusDataSender)
  scope: sentQueues[i]
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
  }
}]

// Why only on demand: reading a queue's length needs Manage. Without it the platform scales by the messages it receives.
resource appScales 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (scaleByQueueLength) {
  name: guid(namespace.id, principalId, roles.serviceBusDataOwner)
  scope: namespace
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataOwner)
  }
}

// Why: the platform resolves the app settings that are Key Vault references, as this identity. Reading only.
resource appSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(vault.id, principalId, roles.keyVaultSecretsUser)
  scope: vault
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsUser)
  }
}

// Why: host and worker send telemetry with Entra ID, because the component takes no instrumentation key alone.
resource appTelemetry 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  name: guid(insights.id, principalId, roles.monitoringMetricsPublisher)
  scope: insights
  properties: {
    principalId: principalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.monitoringMetricsPublisher)
  }
}

// Why: people on duty set and rotate the secrets.
resource operatorSecrets 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasOperators) {
  name: guid(vault.id, operatorPrincipalId, roles.keyVaultSecretsOfficer)
  scope: vault
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.keyVaultSecretsOfficer)
  }
}

// Why: the command line reads watermarks, jobs and the ledger, and stores approvals. This container only, not the package.
resource operatorState 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasOperators) {
  name: guid(state.id, operatorPrincipalId, roles.storageBlobDataContributor)
  scope: state
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.storageBlobDataContributor)
  }
}

// Why: the command line lists dead letters and takes out what was replayed or purged.
resource operatorDeadLetters 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (hasOperators) {
  name: guid(deadLetters.id, operatorPrincipalId, roles.serviceBusDataReceiver)
  scope: deadLetters
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataReceiver)
  }
}

// Why: replaying, syncing one record, back-fills and reconciliation are started by messages.
resource operatorSends 'Microsoft.Authorization/roleAssignments@2022-04-01' = [for (queue, i) in (hasOperators ? sentByOperators : []): {
  name: guid(operatorQueues[i].id, operatorPrincipalId, roles.serviceBusDataSender)
  scope: operatorQueues[i]
  properties: {
    principalId: operatorPrincipalId
    principalType: operatorPrincipalType
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', roles.serviceBusDataSender)
  }
}]
