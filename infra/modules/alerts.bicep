// What wakes somebody. Every alert has a section in docs/runbook.md; the query of a log alert returns one row for each
// thing to report, so that a rule fires when there is any row.

param location string
param tags object
param emails string
param workspaceId string
param namespaceId string
param queues object
param expectedFunctions int

var runbook = 'docs/runbook.md'
var addresses = filter(map(split(emails, ','), part => trim(part)), address => !empty(address))

resource people 'Microsoft.Insights/actionGroups@2023-01-01' = {
  name: 'integration-operators'
  location: 'global'
  tags: tags
  properties: {
    groupShortName: 'integration'
    enabled: true
    emailReceivers: map(addresses, address => { name: address, emailAddress: address, useCommonAlertSchema: true })
  }
}

// Depths of queues: gauges, so the sum over time would mean nothing.
var depths = [
  {
    name: 'dead-letters'
    description: 'Records wait for a person in the queue dead-letter: failed, review or undecodable.'
    metric: 'ActiveMessages'
    queues: [queues.deadLetter]
    aggregation: 'Maximum'
    threshold: 0
    window: 'PT5M'
    frequency: 'PT5M'
    severity: 2
  }
  {
    name: 'dead-letters-not-forwarded'
    description: 'The broker put messages into the dead-letter part of a queue instead of forwarding them.'
    metric: 'DeadletteredMessages'
    queues: [queues.changes, queues.events, queues.jobs, queues.deadLetter]
    aggregation: 'Maximum'
    threshold: 0
    window: 'PT15M'
    frequency: 'PT15M'
    severity: 1
  }
  {
    name: 'backlog'
    description: 'Changes have been waiting for half an hour without a pause.'
    metric: 'ActiveMessages'
    queues: [queues.changes, queues.events]
    aggregation: 'Minimum'
    threshold: 0
    window: 'PT30M'
    frequency: 'PT5M'
    severity: 2
  }
]

resource depthAlerts 'Microsoft.Insights/metricAlerts@2018-03-01' = [for alert in depths: {
  name: 'integration-${alert.name}'
  location: 'global'
  tags: tags
  properties: {
    description: '${alert.description} ${runbook}#${alert.name}'
    severity: alert.severity
    enabled: true
    autoMitigate: true
    scopes: [namespaceId]
    evaluationFrequency: alert.frequency
    windowSize: alert.window
    criteria: {
      'odata.type': 'Microsoft.Azure.Monitor.SingleResourceMultipleMetricCriteria'
      allOf: [
        {
          criterionType: 'StaticThresholdCriterion'
          name: 'depth'
          metricNamespace: 'Microsoft.ServiceBus/namespaces'
          metricName: alert.metric
          dimensions: [{ name: 'EntityName', operator: 'Include', values: alert.queues }]
          operator: 'GreaterThan'
          threshold: alert.threshold
          timeAggregation: alert.aggregation
        }
      ]
    }
    actions: [{ actionGroupId: people.id }]
  }
}]

var findings = [
  {
    name: 'reviews'
    description: 'Records ended in review: a person must decide.'
    query: loadTextContent('../queries/alert-reviews.kql')
    window: 'PT15M'
    frequency: 'PT15M'
    severity: 2
  }
  {
    name: 'silence'
    description: 'Events were taken in, and nothing was handled since.'
    query: loadTextContent('../queries/alert-silence.kql')
    window: 'PT1H'
    frequency: 'PT10M'
    severity: 1
  }
  {
    name: 'lost-hints'
    description: 'Accepted changes were never handled and have been sent again.'
    query: loadTextContent('../queries/alert-lost-hints.kql')
    window: 'PT30M'
    frequency: 'PT10M'
    severity: 1
  }
  {
    name: 'source-silence'
    description: 'Records changed on one side and no event told so.'
    query: loadTextContent('../queries/alert-source-silence.kql')
    window: 'PT30M'
    frequency: 'PT10M'
    severity: 2
  }
  {
    name: 'backlog-age'
    description: 'The oldest change waits too long.'
    query: loadTextContent('../queries/alert-backlog-age.kql')
    window: 'PT30M'
    frequency: 'PT10M'
    severity: 2
  }
  {
    name: 'no-watch'
    description: 'The watch over everything else has gone quiet.'
    query: loadTextContent('../queries/alert-no-watch.kql')
    window: 'PT1H'
    frequency: 'PT15M'
    severity: 1
  }
  {
    name: 'late-changes'
    description: 'Changes reach the other system too late.'
    query: loadTextContent('../queries/alert-late-changes.kql')
    window: 'PT15M'
    frequency: 'PT15M'
    severity: 2
  }
  {
    name: 'system-trouble'
    description: 'A whole system cannot be used: unreachable, throttled, sign-in refused, misconfigured.'
    query: loadTextContent('../queries/alert-system-trouble.kql')
    window: 'PT15M'
    frequency: 'PT5M'
    severity: 1
  }
  {
    name: 'salesforce-budget'
    description: 'The daily Salesforce API calls run low.'
    query: loadTextContent('../queries/alert-salesforce-budget.kql')
    window: 'PT1H'
    frequency: 'PT15M'
    severity: 2
  }
  {
    name: 'd365-throttling'
    description: 'F&O refuses many calls with 429.'
    query: loadTextContent('../queries/alert-d365-throttling.kql')
    window: 'PT15M'
    frequency: 'PT15M'
    severity: 3
  }
  {
    name: 'jobs'
    description: 'A job failed, passed its deadline, or was never heard of again.'
    query: loadTextContent('../queries/alert-jobs.kql')
    window: 'P2D'
    frequency: 'PT1H'
    severity: 2
  }
  {
    name: 'error-rate'
    description: 'Many records fail at the first try.'
    query: loadTextContent('../queries/alert-error-rate.kql')
    window: 'PT1H'
    frequency: 'PT15M'
    severity: 2
  }
  {
    name: 'failed-executions'
    description: 'Functions end with an exception: Service Bus or storage is out of reach, or there is a defect.'
    query: loadTextContent('../queries/alert-failed-executions.kql')
    window: 'PT15M'
    frequency: 'PT15M'
    severity: 1
  }
  {
    name: 'misconfigured'
    description: 'The app settings or the mapping file are wrong; nothing is handled until they are right.'
    query: loadTextContent('../queries/alert-misconfigured.kql')
    window: 'PT15M'
    frequency: 'PT5M'
    severity: 1
  }
  {
    name: 'function-count'
    description: 'The host loaded another number of functions than this release has.'
    query: replace(loadTextContent('../queries/alert-function-count.kql'), '{expectedFunctions}', string(expectedFunctions))
    window: 'P1D'
    frequency: 'PT15M'
    severity: 1
  }
]

resource findingAlerts 'Microsoft.Insights/scheduledQueryRules@2023-12-01' = [for alert in findings: {
  name: 'integration-${alert.name}'
  location: location
  tags: tags
  kind: 'LogAlert'
  properties: {
    displayName: 'integration-${alert.name}'
    description: '${alert.description} ${runbook}#${alert.name}'
    severity: alert.severity
    enabled: true
    autoMitigate: true
    // A new workspace has no telemetry tables yet.
    skipQueryValidation: true
    scopes: [workspaceId]
    evaluationFrequency: alert.frequency
    windowSize: alert.window
    criteria: {
      allOf: [
        {
          query: alert.query
          timeAggregation: 'Count'
          operator: 'GreaterThan'
          threshold: 0
          failingPeriods: { numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1 }
        }
      ]
    }
    actions: { actionGroups: [people.id] }
  }
}]
