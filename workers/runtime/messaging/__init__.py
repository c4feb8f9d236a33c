"""Messages in and out of RabbitMQ: publications, requests with replies, consumers, topology."""
