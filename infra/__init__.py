"""The templates' own tools: what can be checked and proven without a subscription."""
