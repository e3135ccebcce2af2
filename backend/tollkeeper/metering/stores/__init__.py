"""Where raw events lie: in the SQL database, and beyond it in ClickHouse, if there is one."""
