"""Prices of millions of rows: read as streams, compared by fingerprints, written as files.

`reading` decides how F&O is read: by OData (`odata_pages`, `odata_stream`), from data packages (`exporting`,
`order`, `package_source`), or only the items that change tracking names (`named_source`). `scan` takes whole
items in F&O's order, `mapper` says what Salesforce should hold of each, and `changes` keeps what differs from
the last confirmed push as parts of CSV. Then `push` sends the parts by sObject Collections, or `bulk` by Bulk
API 2.0, and `sorting` decides what becomes of the rows that came back. At the end `confirm` says which items
have arrived. `build` puts it all together.
"""
