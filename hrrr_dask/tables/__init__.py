"""Tables of a store for analysts and warehouses: Parquet, DuckDB and Iceberg, kept up to date by the ledger.

May use the store and the ledger. A reader of a table sees a day as it was before an export, or after it, never between.
"""

__all__ = ["targets"]
