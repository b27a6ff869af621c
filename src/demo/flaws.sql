-- Run after schema.sql, each statement by itself and outside a transaction; their errors are meant.
-- Phone numbers are not unique: this fails, and leaves its index behind, invalid.
CREATE UNIQUE INDEX CONCURRENTLY customer_phone_key ON shop.customer (phone);
