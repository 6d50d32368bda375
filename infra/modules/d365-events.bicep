// The way in for F&O: it can only send with a connection string that it reads from a Key Vault (F&O contract 7.1).
// The key may do one thing, send, on one queue. Its vault holds nothing else and stays reachable for F&O.

param vaultName string
param location string
param tags object
param namespaceName string
param queueName string
param readerPrincipalId string
param workspaceId string

var keyVaultSecretsUser = '4633458b-17de-408a-b874-0445c86b69e6'

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource queue 'Microsoft.ServiceBus/namespaces/queues@2024-01-01' existing = {
  parent: namespace
  name: queueName
}

resource sendOnly 'Microsoft.ServiceBus/namespaces/queues/authorizationRules@2024-01-01' = {
  parent: queue
  name: 'd365-send'
  properties: { rights: ['Send'] }
}

resource vault 'Microsoft.KeyVault/vaults@2024-11-01' = {
  name: vaultName
  location: location
  tags: tags
  properties: {
    tenantId: tenant().tenantId
    sku: { family: 'A', name: 'standard' }
    enableRbacAuthorization: true
    enableSoftDelete: true
    enablePurgeProtection: true
    publicNetworkAccess: 'Enabled'
  }
}

resource connection 'Microsoft.KeyVault/vaults/secrets@2024-11-01' = {
  parent: vault
  name: 'd365-business-events'
  properties: {
    contentType: 'Service Bus connection string, Send on one queue'
    // Without EntityPath: F&O names the queue itself.
    value: 'Endpoint=${replace(replace(namespace.properties.serviceBusEndpoint, 'https://', 'sb://'), ':443/', '/')};SharedAccessKeyName=${sendOnly.name};SharedAccessKey=${sendOnly.listKeys().primaryKey}'
  }
}

// Why: F&O's application reads this one secret.
resource reader 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(readerPrincipalId)) {
  name: guid(connection.id, readerPrincipalId, keyVaultSecretsUser)
  scope: connection
  properties: {
    principalId: readerPrincipalId
    principalType: 'ServicePrincipal'
    roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', keyVaultSecretsUser)
  }
}

resource diagnostics 'Microsoft.Insights/diagnosticSettings@2021-05-01-preview' = {
  name: 'to-workspace'
  scope: vault
  properties: {
    workspaceId: workspaceId
    logs: [{ categoryGroup: 'audit', enabled: true }]
  }
}

output vaultUrl string = vault.properties.vaultUri
output secretName string = connection.name
