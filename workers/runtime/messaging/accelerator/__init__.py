"""Frame encoding, frame reading and grouped writes below aio-pika."""
