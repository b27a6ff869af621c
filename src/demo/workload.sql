-- The four applications' statements: {int:1:9} is a number from 1 to 9, drawn anew for each call.

-- name: crm_contact_of_company per_minute: 50
SELECT id, full_name, email, stage FROM crm.contact WHERE company_id = {int:1:2000} ORDER BY full_name;
-- name: crm_contact_by_id per_minute: 60
SELECT id, full_name, email, stage, remarks FROM crm.contact WHERE id = {int:1:40000};
-- name: crm_newest_contacts per_minute: 30
SELECT id, full_name, stage, created_at FROM crm.contact ORDER BY created_at DESC LIMIT 25;
-- name: crm_search_remarks per_minute: 20
SELECT id, full_name, email FROM crm.contact WHERE remarks ILIKE '%ticket {int:10000:99999}%';
-- name: crm_contacts_page per_minute: 12
SELECT id, full_name, email FROM crm.contact ORDER BY full_name, id LIMIT 20 OFFSET {int:5000:20000};
-- name: crm_activities_of_contact per_minute: 90
SELECT kind, summary, happened_at FROM crm.activity WHERE contact_id = {int:1:40000} ORDER BY happened_at DESC LIMIT 10;
-- name: crm_log_activity per_minute: 30
INSERT INTO crm.activity (contact_id, kind, summary) VALUES ({int:1:40000}, 'call', 'call {int:1:99999}');
-- name: crm_mark_contacted per_minute: 40
UPDATE crm.contact SET contacted_at = now() WHERE id = {int:1:40000};
-- name: erp_article_by_code per_minute: 100
SELECT id, title, price FROM erp.article WHERE code = 'A-{int:10001:20000}';
-- name: erp_articles_on_shelf per_minute: 30
SELECT id, code, title, price FROM erp.article WHERE shelf = {int:1:60} ORDER BY title LIMIT 50;
-- name: erp_moves_of_article per_minute: 30
SELECT reason, quantity, moved_at FROM erp.stock_move WHERE article_id = {int:1:10000} ORDER BY moved_at DESC;
-- name: erp_moves_by_month per_minute: 4
SELECT date_trunc('month', moved_at) AS month, reason, count(*), sum(quantity) FROM erp.stock_move GROUP BY 1, 2 ORDER BY 1, 2;
-- name: erp_book_move per_minute: 30
INSERT INTO erp.stock_move (article_id, reason, quantity) VALUES ({int:1:10000}, 'sale', -{int:1:5});
-- name: erp_stock_of_article per_minute: 30
SELECT quantity, last_move FROM erp.stock_on_hand WHERE article_id = {int:1:10000};
-- name: erp_late_invoices per_minute: 20
SELECT id, order_id, amount, due_on FROM erp.invoice WHERE state = 'late' ORDER BY due_on LIMIT 50;
-- name: erp_invoice_of_order per_minute: 40
SELECT id, state, amount, due_on FROM erp.invoice WHERE order_id = {int:1:30000};
-- name: erp_reprice per_minute: 20
UPDATE erp.article SET price = {int:1:500} WHERE id = {int:1:10000};
-- name: shop_items_of_order per_minute: 750
SELECT article_id, quantity, price FROM shop.order_item WHERE order_id = {int:1:40000};
-- name: shop_orders_of_customer per_minute: 90
SELECT id, state, total, created_at FROM shop.orders WHERE customer_id = {int:1:20000} ORDER BY created_at DESC LIMIT 20;
-- name: shop_newest_orders per_minute: 30
SELECT o.id, c.display_name, o.total, o.created_at FROM shop.orders o JOIN shop.customer c ON c.id = o.customer_id ORDER BY o.created_at DESC LIMIT 20;
-- name: shop_best_sellers per_minute: 20
SELECT a.title, sum(i.quantity) AS sold, sum(i.quantity * i.price) AS revenue FROM shop.order_item i JOIN shop.orders o ON o.id = i.order_id JOIN erp.article a ON a.id = i.article_id WHERE o.state = 'sent' GROUP BY a.id, a.title ORDER BY revenue DESC LIMIT 10;
-- name: shop_revenue_by_month per_minute: 12
SELECT month, orders, revenue FROM shop.monthly_revenue ORDER BY month;
-- name: shop_place_order per_minute: 30
INSERT INTO shop.orders (customer_id, total) VALUES ({int:1:20000}, {int:5:900});
-- name: shop_add_item per_minute: 60
INSERT INTO shop.order_item (order_id, article_id, quantity, price) VALUES ({int:1:40000}, {int:1:10000}, 1, {int:1:500});
-- name: shop_send_order per_minute: 30
UPDATE shop.orders SET state = 'sent' WHERE id = {int:1:40000};
-- name: shop_fill_cart per_minute: 30
INSERT INTO shop.cart_line (customer_id, article_id) VALUES ({int:1:20000}, {int:1:10000});
-- name: shop_empty_cart per_minute: 30
DELETE FROM shop.cart_line WHERE customer_id = {int:1:20000};
-- name: auth_sign_in per_minute: 200
SELECT id, password_hash, locked FROM auth.account WHERE email = 'u{int:1:20000}@example.net';
-- name: auth_session_seen per_minute: 80
UPDATE auth.session SET hits = hits + 1, seen_at = now() WHERE id = {int:1:25000};
-- name: auth_sessions_of_account per_minute: 30
SELECT id, hits, seen_at FROM auth.session WHERE account_id = {int:1:20000};
-- name: auth_record_event per_minute: 40
INSERT INTO auth.audit_event (account_id, action, address) VALUES ({int:1:20000}, 'sign-in', '198.51.100.{int:1:254}');
-- name: auth_events_of_account per_minute: 60
SELECT action, address, created_at FROM auth.audit_event WHERE account_id = {int:1:20000} ORDER BY created_at DESC LIMIT 20;
-- name: auth_addresses_by_week per_minute: 20
SELECT date_trunc('week', created_at) AS week, action, count(*), count(DISTINCT address) FROM auth.audit_event GROUP BY 1, 2 ORDER BY 1, 2;
