"""Local stand-ins for Salesforce, F&O, Entra, Service Bus and the Functions host. Never deployed."""
