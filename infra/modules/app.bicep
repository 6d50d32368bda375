// The Functions app on Flex Consumption, and every app setting.

param name string
param planName string
param location string
param tags object
param pythonVersion string
param instanceMemoryMB int
param alwaysReadyInstances int
param traceSampling string
param identityId string
param identityClientId string
param storageName string
param packageContainerUrl string
param serviceBusHost string
param vaultUri string
param insightsConnectionString string
param subnetId string
param salesforceClientId string
param salesforceAuth string
param d365BaseUrl string
param d365Company string
param d365Auth string
param d365ClientId string
param ordersSince string
param settings object
param webhookStaticSecret bool

// The platform's minimum. The buckets cap the work: an instance that holds no bucket does nothing.
var instanceLimit = 40

// Their first message must not wait for an instance to start: Salesforce gives up after a minute, and a function
// without instances may be woken two minutes late.
var readyGroups = ['http', 'function:converge_changes', 'function:d365_business_events']
var alwaysReady = [for group in readyGroups: { name: group, instanceCount: alwaysReadyInstances }]

// Only what the chosen way to sign in needs: a reference that leads nowhere would reach the app as a text.
var salesforceSecret = salesforceAuth == 'jwt' ? 'SALESFORCE_PRIVATE_KEY' : 'SALESFORCE_CLIENT_SECRET'
var d365Secrets = { managed_identity: [], certificate: ['D365_CERTIFICATE'], secret: ['D365_CLIENT_SECRET'] }
var webhookSecrets = webhookStaticSecret ? ['WEBHOOK_SECRETS', 'WEBHOOK_STATIC_SECRET'] : ['WEBHOOK_SECRETS']
var secrets = concat([salesforceSecret], webhookSecrets, d365Secrets[d365Auth])
var references = toObject(secrets, secret => secret, secret => '@Microsoft.KeyVault(SecretUri=${vaultUri}secrets/${toLower(replace(secret, '_', '-'))})')

var given = toObject(filter(items(settings), item => !empty(item.value)), item => item.key, item => item.value)

var product = {
  SALESFORCE_AUTH: salesforceAuth
  SALESFORCE_CLIENT_ID: salesforceClientId
  D365_AUTH: d365Auth
  D365_BASE_URL: d365BaseUrl
  D365_COMPANY: d365Company
  D365_CLIENT_ID: d365Auth == 'managed_identity' ? identityClientId : d365ClientId
  ORDERS_SINCE: ordersSince
}

// Read by the Functions host, and by the app through the same names.
var connections = {
  AzureWebJobsStorage__accountName: storageName
  AzureWebJobsStorage__credential: 'managedidentity'
  AzureWebJobsStorage__clientId: identityClientId
  ServiceBus__fullyQualifiedNamespace: serviceBusHost
  ServiceBus__credential: 'managedidentity'
  ServiceBus__clientId: identityClientId
}

// Read by the host and the worker. FUNCTIONS_WORKER_PROCESS_COUNT is missing on purpose: one process holds the batcher.
var platform = {
  APPLICATIONINSIGHTS_CONNECTION_STRING: insightsConnectionString
  APPLICATIONINSIGHTS_AUTHENTICATION_STRING: 'ClientId=${identityClientId};Authorization=AAD'
  PYTHON_APPLICATIONINSIGHTS_ENABLE_TELEMETRY: 'true'
  PYTHON_APPLICATIONINSIGHTS_LOGGER_NAME: 'integration'
  OTEL_SERVICE_NAME: name
  // The one name that the host's exporter and the worker's both know. Both then decide by the trace id, so a trace is
  // kept or left out as a whole, whichever of them began it; under another name the host keeps five traces a second.
  OTEL_TRACES_SAMPLER: 'microsoft.fixed_percentage'
  OTEL_TRACES_SAMPLER_ARG: traceSampling
}
// From 3.13 on the worker keeps its own packages apart by itself.
var isolation = pythonVersion == '3.13' ? {} : { PYTHON_ISOLATE_WORKER_DEPENDENCIES: '1' }

resource plan 'Microsoft.Web/serverfarms@2025-03-01' = {
  name: planName
  location: location
  tags: tags
  kind: 'functionapp'
  sku: { name: 'FC1', tier: 'FlexConsumption' }
  properties: { reserved: true }
}

resource site 'Microsoft.Web/sites@2025-03-01' = {
  name: name
  location: location
  tags: union(tags, { 'azd-service-name': 'app' })
  kind: 'functionapp,linux'
  identity: { type: 'UserAssigned', userAssignedIdentities: { '${identityId}': {} } }
  properties: {
    serverFarmId: plan.id
    httpsOnly: true
    keyVaultReferenceIdentity: identityId
    virtualNetworkSubnetId: empty(subnetId) ? null : subnetId
    publicNetworkAccess: 'Enabled'
    // Outbound Messages may show a client certificate; the app compares its thumbprint where some are set.
    clientCertEnabled: contains(given, 'WEBHOOK_CLIENT_THUMBPRINTS')
    clientCertMode: 'Optional'
    siteConfig: { minTlsVersion: '1.2', ftpsState: 'Disabled', http20Enabled: true }
    functionAppConfig: {
      deployment: {
        storage: {
          type: 'blobContainer'
          value: packageContainerUrl
          authentication: { type: 'UserAssignedIdentity', userAssignedIdentityResourceId: identityId }
        }
      }
      runtime: { name: 'python', version: pythonVersion }
      scaleAndConcurrency: {
        instanceMemoryMB: instanceMemoryMB
        maximumInstanceCount: instanceLimit
        alwaysReady: alwaysReadyInstances > 0 ? alwaysReady : []
        // Calls of the webhook only enqueue, and stock checks share one limit per process: one instance takes many.
        triggers: { http: { perInstanceConcurrency: 100 } }
      }
      // Old and new instances overlap instead of all stopping; hints of both versions can be read by both.
      siteUpdateStrategy: { type: 'RollingUpdate' }
    }
  }
}

resource appSettings 'Microsoft.Web/sites/config@2025-03-01' = {
  parent: site
  name: 'appsettings'
  properties: union(given, product, references, connections, platform, isolation)
}

// Deployments sign in with Entra ID; the publishing passwords are off.
resource publishing 'Microsoft.Web/sites/basicPublishingCredentialsPolicies@2025-03-01' = [for policy in ['scm', 'ftp']: {
  parent: site
  name: policy
  properties: { allow: false }
}]

output name string = site.name
output url string = 'https://${site.properties.defaultHostName}'
