"""Shop: products, orders, deliveries and order status."""
