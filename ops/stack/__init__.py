"""The private stack: a RabbitMQ and a PostgreSQL of this checkout's own, and the processes of the system."""
