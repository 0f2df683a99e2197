"""Tables of a store for analysts and warehouses: Parquet, DuckDB and Iceberg, kept up to date by the ledger.

Uses the store, the ledger and a Dask cluster. A reader of a table sees each day as before an export, or as after it.
"""

__all__ = ["day_files", "export", "iceberg_target", "ledger_days", "places", "report", "rows", "schema", "targets"]
