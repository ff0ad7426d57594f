"""SVOps' own database: engine, tables with their mapping, repositories, unit of work, migrations."""
