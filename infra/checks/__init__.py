"""Reads the Bicep files offline. No Bicep compiler is needed, and none is replaced.

syntax      text → tree; two independent parsers must accept it
template    tree → parameters, variables, resources, modules, outputs
evaluation  parameters → the resources that a deployment would ask for
rules       what must hold beyond that: names declared and used, API versions, role ids
"""
