// One page for the people on duty: what was handled, how fast, at what cost, and what waits.

param location string
param tags object
param workspaceId string
param namespaceId string

var views = [
  {
    title: 'Outcomes by flow'
    query: loadTextContent('../queries/view-outcomes.kql')
    visualization: 'table'
  }
  {
    title: 'Outcomes over time'
    query: loadTextContent('../queries/view-outcomes-over-time.kql')
    visualization: 'barchart'
  }
  {
    title: 'Latency: event seen until in step, seconds'
    query: loadTextContent('../queries/view-latency.kql')
    visualization: 'table'
  }
  {
    title: 'Waiting, and alarms'
    query: loadTextContent('../queries/view-waiting.kql')
    visualization: 'linechart'
  }
  {
    title: 'Events taken in'
    query: loadTextContent('../queries/view-events.kql')
    visualization: 'barchart'
  }
  {
    title: 'Calls to both systems'
    query: loadTextContent('../queries/view-calls.kql')
    visualization: 'table'
  }
  {
    title: 'Salesforce API calls left'
    query: loadTextContent('../queries/view-salesforce-budget.kql')
    visualization: 'linechart'
  }
  {
    title: 'Records that ended without being in step, by cause'
    query: loadTextContent('../queries/view-ends.kql')
    visualization: 'table'
  }
  {
    title: 'Drift found by reconciliation'
    query: loadTextContent('../queries/view-drift.kql')
    visualization: 'table'
  }
  {
    title: 'Jobs'
    query: loadTextContent('../queries/view-jobs.kql')
    visualization: 'table'
  }
]

var range = {
  type: 9
  content: {
    version: 'KqlParameterItem/1.0'
    parameters: [
      {
        id: guid(namespaceId, 'range')
        version: 'KqlParameterItem/1.0'
        name: 'range'
        label: 'Time range'
        type: 4
        isRequired: true
        value: { durationMs: 86400000 }
        typeSettings: {
          selectableValues: [{ durationMs: 3600000 }, { durationMs: 14400000 }, { durationMs: 86400000 }, { durationMs: 604800000 }]
        }
      }
    ]
    style: 'pills'
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
  }
  name: 'range'
}

// From the platform's metrics, because the depth of one queue is not in the workspace.
var depth = {
  type: 10
  content: {
    chartId: 'queue-depth'
    version: 'MetricsItem/2.0'
    size: 0
    title: 'Messages waiting, by queue'
    chartType: 2
    resourceType: 'microsoft.servicebus/namespaces'
    metricScope: 0
    resourceIds: [namespaceId]
    timeContextFromParameter: 'range'
    metrics: [
      {
        namespace: 'microsoft.servicebus/namespaces'
        metric: 'microsoft.servicebus/namespaces--ActiveMessages'
        aggregation: 3
        splitBy: 'EntityName'
      }
    ]
    gridSettings: { rowLimit: 10000 }
  }
  name: 'queue-depth'
}

var items = [for view in views: {
  type: 3
  content: {
    version: 'KqlItem/1.0'
    query: view.query
    size: 0
    title: view.title
    timeContextFromParameter: 'range'
    queryType: 0
    resourceType: 'microsoft.operationalinsights/workspaces'
    crossComponentResources: [workspaceId]
    visualization: view.visualization
  }
  name: view.title
}]

resource workbook 'Microsoft.Insights/workbooks@2023-06-01' = {
  name: guid(namespaceId, 'integration-workbook')
  location: location
  tags: tags
  kind: 'shared'
  properties: {
    displayName: 'Salesforce and F&O integration'
    category: 'workbook'
    sourceId: workspaceId
    version: '1.0'
    serializedData: string({
      version: 'Notebook/1.0'
      items: concat([range, depth], items)
      isLocked: false
      '$schema': 'https://github.com/Microsoft/Application-Insights-Workbooks/blob/master/schema/workbook.json'
    })
  }
}
