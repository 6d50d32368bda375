"""What operators run: `python -m integration …`. Nothing here writes to Salesforce or F&O."""
