"""Where tickets wait when an app has several processes: one `TicketStore` for each engine.

`RedisTicketStore`, `NatsTicketStore` and `PostgresTicketStore` are imported from their modules, which need their
extras.
"""
