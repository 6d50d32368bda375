// Everything the integration needs in Azure: native resources, one module by concern.
// App settings keep the names of docs/settings.md all the way: azd variable, main.parameters.json, app.
targetScope = 'subscription'

@minLength(1)
@maxLength(64)
@description('Name of the azd environment. Resource names follow from it, the subscription and the location.')
param environmentName string

@minLength(1)
@description('A region that has Flex Consumption: az functionapp list-flexconsumption-locations.')
param location string

// What the app must know; it has no default for these.

@minLength(1)
@description('App setting SALESFORCE_CLIENT_ID: consumer key of the External Client App.')
param salesforceClientId string

@allowed(['jwt', 'client_credentials'])
@description('App setting SALESFORCE_AUTH. It decides which secret is taken from Key Vault.')
param salesforceAuth string = 'jwt'

@minLength(8)
@description('App setting D365_BASE_URL: https://<environment>.operations.dynamics.com, without /data.')
param d365BaseUrl string

@minLength(1)
@maxLength(4)
@description('App setting D365_COMPANY: the default legal entity.')
param d365Company string

@allowed(['managed_identity', 'certificate', 'secret'])
@description('App setting D365_AUTH. managed_identity needs no secret at all.')
param d365Auth string = 'managed_identity'

@description('App setting D365_CLIENT_ID for certificate and secret; otherwise the app identity itself is used.')
param d365ClientId string = ''

@minLength(10)
@maxLength(10)
@description('App setting ORDERS_SINCE: the day of the cut-over, YYYY-MM-DD.')
param ordersSince string

@description('Every other app setting that is no secret, by its own name. An empty text counts as not set.')
param settings object

@description('Flow callouts prove themselves with a static secret (app setting WEBHOOK_STATIC_SECRET from Key Vault).')
param webhookStaticSecret bool = false

// How it runs.

@allowed(['3.11', '3.12', '3.13'])
param pythonVersion string = '3.12'

@allowed([512, 2048, 4096])
@description('Memory of an instance. 2048 MB come with one core, which suits one worker process.')
param instanceMemoryMB int = 2048

@minValue(0)
@maxValue(5)
@description('Instances kept ready for the webhook and for each function whose first message must not wait.')
param alwaysReadyInstances int = 1

@description('Share of traces that are kept, 0.0 to 1.0. Metrics and logs are always whole.')
param traceSampling string = '1.0'

@allowed(['Standard', 'Premium'])
param serviceBusSku string = 'Standard'

@description('Lets the platform read queue lengths to scale (Service Bus Data Owner). Least privilege does without.')
param scaleByQueueLength bool = false

@description('Storage, Key Vault and Service Bus only through private endpoints. Makes Service Bus Premium.')
param privateNetworking bool = false

@description('Locks Service Bus and storage against deletion. Remove the locks before azd down.')
param deleteLocks bool = false

// Who else may come near.

@description('F&O sends business events: a SAS rule with Send on its one queue, kept in a Key Vault of its own.')
param d365BusinessEvents bool = false

@description('Object id of the service principal with which F&O reads that Key Vault. Empty: grant it later.')
param d365EventsPrincipalId string = ''

@description('Object id of the people on duty, best a group: secrets, dead letters, replays. Empty: nobody.')
param operatorPrincipalId string = ''

@allowed(['User', 'Group', 'ServicePrincipal'])
param operatorPrincipalType string = 'Group'

// What is watched.

@description('Mail addresses for alerts, separated by commas.')
param alertEmails string = ''

@minValue(1)
@description('Functions of this release, written by python -m infra.parameters.')
param expectedFunctions int

@minValue(30)
@maxValue(730)
param logRetentionDays int = 90

@description('GB a day after which the workspace takes in no more; -1: no limit. Alerts are blind from then on.')
param logDailyQuotaGb int = -1

var token = toLower(uniqueString(subscription().id, environmentName, location))
var stateContainer = settings.STATE_CONTAINER
var tags = { 'azd-env-name': environmentName }
var queueNames = { changes: 'changes', events: 'd365-business-events', jobs: 'jobs', deadLetter: 'dead-letter' }

resource group 'Microsoft.Resources/resourceGroups@2024-11-01' = {
  name: 'rg-${environmentName}'
  location: location
  tags: tags
}

module identity 'modules/identity.bicep' = {
  name: 'identity'
  scope: group
  params: { name: 'id-${token}', location: location, tags: tags }
}

module monitoring 'modules/monitoring.bicep' = {
  name: 'monitoring'
  scope: group
  params: {
    workspaceName: 'log-${token}'
    insightsName: 'appi-${token}'
    location: location
    tags: tags
    retentionDays: logRetentionDays
    dailyQuotaGb: logDailyQuotaGb
  }
}

module network 'modules/network.bicep' = if (privateNetworking) {
  name: 'network'
  scope: group
  params: { token: token, location: location, tags: tags }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  scope: group
  params: {
    name: 'st${token}'
    location: location
    tags: tags
    stateContainer: empty(stateContainer) ? 'integration-state' : stateContainer
    publicAccess: !privateNetworking
    lock: deleteLocks
    workspaceId: monitoring.outputs.workspaceId
  }
}

module servicebus 'modules/servicebus.bicep' = {
  name: 'servicebus'
  scope: group
  params: {
    name: 'sb-${token}'
    location: location
    tags: tags
    // Only Premium has private endpoints.
    sku: privateNetworking ? 'Premium' : serviceBusSku
    queues: queueNames
    // F&O stands outside of any network of ours and signs in with a key.
    publicAccess: !privateNetworking || d365BusinessEvents
    localAuth: d365BusinessEvents
    lock: deleteLocks
    workspaceId: monitoring.outputs.workspaceId
  }
}

module keyvault 'modules/keyvault.bicep' = {
  name: 'keyvault'
  scope: group
  params: {
    name: 'kv-${token}'
    location: location
    tags: tags
    publicAccess: !privateNetworking
    workspaceId: monitoring.outputs.workspaceId
  }
}

module endpoints 'modules/endpoints.bicep' = if (privateNetworking) {
  name: 'endpoints'
  scope: group
  params: {
    token: token
    location: location
    tags: tags
    subnetId: network!.outputs.endpointSubnetId
    networkId: network!.outputs.networkId
    storageId: storage.outputs.id
    namespaceId: servicebus.outputs.id
    vaultId: keyvault.outputs.id
  }
}

module access 'modules/access.bicep' = {
  name: 'access'
  scope: group
  params: {
    principalId: identity.outputs.principalId
    operatorPrincipalId: operatorPrincipalId
    operatorPrincipalType: operatorPrincipalType
    storageName: storage.outputs.name
    stateContainer: storage.outputs.stateContainer
    namespaceName: servicebus.outputs.name
    vaultName: keyvault.outputs.name
    insightsName: monitoring.outputs.insightsName
    queues: queueNames
    scaleByQueueLength: scaleByQueueLength
  }
}

module app 'modules/app.bicep' = {
  name: 'app'
  scope: group
  // Without its roles the first start cannot read its package, its queues or its secrets.
  dependsOn: [access, endpoints]
  params: {
    name: 'func-${token}'
    planName: 'plan-${token}'
    location: location
    tags: tags
    pythonVersion: pythonVersion
    instanceMemoryMB: instanceMemoryMB
    alwaysReadyInstances: alwaysReadyInstances
    traceSampling: traceSampling
    identityId: identity.outputs.id
    identityClientId: identity.outputs.clientId
    storageName: storage.outputs.name
    packageContainerUrl: storage.outputs.packageContainerUrl
    serviceBusHost: servicebus.outputs.host
    vaultUri: keyvault.outputs.uri
    insightsConnectionString: monitoring.outputs.connectionString
    subnetId: privateNetworking ? network!.outputs.appSubnetId : ''
    salesforceClientId: salesforceClientId
    salesforceAuth: salesforceAuth
    d365BaseUrl: d365BaseUrl
    d365Company: d365Company
    d365Auth: d365Auth
    d365ClientId: d365ClientId
    ordersSince: ordersSince
    settings: settings
    webhookStaticSecret: webhookStaticSecret
  }
}

module d365Events 'modules/d365-events.bicep' = if (d365BusinessEvents) {
  name: 'd365-events'
  scope: group
  params: {
    vaultName: 'kvd365-${token}'
    location: location
    tags: tags
    namespaceName: servicebus.outputs.name
    queueName: queueNames.events
    readerPrincipalId: d365EventsPrincipalId
    workspaceId: monitoring.outputs.workspaceId
  }
}

module alerts 'modules/alerts.bicep' = {
  name: 'alerts'
  scope: group
  params: {
    location: location
    tags: tags
    emails: alertEmails
    workspaceId: monitoring.outputs.workspaceId
    namespaceId: servicebus.outputs.id
    queues: queueNames
    expectedFunctions: expectedFunctions
  }
}

module workbook 'modules/workbook.bicep' = {
  name: 'workbook'
  scope: group
  params: {
    location: location
    tags: tags
    workspaceId: monitoring.outputs.workspaceId
    namespaceId: servicebus.outputs.id
  }
}

output AZURE_LOCATION string = location
output AZURE_TENANT_ID string = tenant().tenantId
output AZURE_RESOURCE_GROUP string = group.name
output FUNCTION_APP_NAME string = app.outputs.name
output FUNCTION_APP_URL string = app.outputs.url
output KEY_VAULT_NAME string = keyvault.outputs.name
output SERVICE_BUS_NAMESPACE string = servicebus.outputs.host
output STORAGE_ACCOUNT_NAME string = storage.outputs.name
output IDENTITY_CLIENT_ID string = identity.outputs.clientId
output IDENTITY_PRINCIPAL_ID string = identity.outputs.principalId
output LOG_ANALYTICS_WORKSPACE_ID string = monitoring.outputs.workspaceCustomerId
output OUTBOUND_IP_ADDRESS string = privateNetworking ? network!.outputs.outboundAddress : ''
output BUSINESS_EVENTS_VAULT_URL string = d365BusinessEvents ? d365Events!.outputs.vaultUrl : ''
output BUSINESS_EVENTS_SECRET_NAME string = d365BusinessEvents ? d365Events!.outputs.secretName : ''
