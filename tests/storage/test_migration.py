def test_migrations_apply(farm_database, connection):
    print(connection.execute("select count(*) from event").fetchone())
