CREATE TABLE api_keys (
  id VARCHAR NOT NULL,
  label VARCHAR NOT NULL,
  scopes JSON NOT NULL,
  secret_digest VARCHAR NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  last_used_at VARCHAR(27),
  revoked_at VARCHAR(27),
  CONSTRAINT pk_api_keys PRIMARY KEY (id)
);

CREATE TABLE admin_users (
  id VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  password_hash VARCHAR NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_admin_users PRIMARY KEY (id),
  CONSTRAINT uq_admin_users_name UNIQUE (name)
);

CREATE TABLE audit_log (
  id VARCHAR NOT NULL,
  at VARCHAR(27) NOT NULL,
  actor_kind VARCHAR NOT NULL,
  actor_id VARCHAR NOT NULL,
  actor_name VARCHAR NOT NULL,
  act VARCHAR NOT NULL,
  target VARCHAR NOT NULL,
  fields JSON NOT NULL,
  CONSTRAINT pk_audit_log PRIMARY KEY (id)
);

CREATE INDEX ix_audit_log_actor_id ON audit_log (actor_id);

CREATE INDEX ix_audit_log_target ON audit_log (target);

CREATE TRIGGER audit_log_keep_insert BEFORE INSERT ON audit_log WHEN EXISTS (SELECT 1 FROM audit_log AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id)) BEGIN SELECT RAISE(ABORT, 'the audit log never changes'); END;

CREATE TRIGGER audit_log_keep_update BEFORE UPDATE ON audit_log BEGIN SELECT RAISE(ABORT, 'the audit log never changes'); END;

CREATE TRIGGER audit_log_keep_delete BEFORE DELETE ON audit_log BEGIN SELECT RAISE(ABORT, 'the audit log never changes'); END;

CREATE TABLE answered_requests (
  caller VARCHAR NOT NULL,
  "key" VARCHAR NOT NULL,
  request_digest VARCHAR NOT NULL,
  answered_at VARCHAR(27) NOT NULL,
  status INTEGER,
  body VARCHAR,
  CONSTRAINT pk_answered_requests PRIMARY KEY (caller, "key")
);

CREATE INDEX ix_answered_requests_answered_at ON answered_requests (answered_at);

CREATE TABLE entitlement_templates (
  id VARCHAR NOT NULL,
  "key" VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  entitlement JSON NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_entitlement_templates PRIMARY KEY (id),
  CONSTRAINT uq_entitlement_templates_key UNIQUE ("key")
);

CREATE TABLE plans (
  id VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  "key" VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  currency VARCHAR NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  archived_at VARCHAR(27),
  CONSTRAINT pk_plans PRIMARY KEY (id),
  CONSTRAINT uq_plans_key UNIQUE ("key")
);

CREATE TABLE coupons (
  id VARCHAR NOT NULL,
  code VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  percentage TEXT,
  amount_minor BIGINT,
  currency VARCHAR,
  duration VARCHAR NOT NULL,
  periods INTEGER,
  features JSON NOT NULL,
  valid_from VARCHAR(27) NOT NULL,
  valid_to VARCHAR(27),
  max_redemptions INTEGER,
  created_at VARCHAR(27) NOT NULL,
  redemptions INTEGER NOT NULL,
  archived_at VARCHAR(27),
  CONSTRAINT pk_coupons PRIMARY KEY (id),
  CONSTRAINT ck_coupons_percentage_or_amount CHECK ((percentage IS NULL) <> (amount_minor IS NULL)),
  CONSTRAINT ck_coupons_amount_has_currency CHECK ((amount_minor IS NULL) = (currency IS NULL)),
  CONSTRAINT ck_coupons_repeating_has_periods CHECK ((duration = 'repeating') = (periods IS NOT NULL)),
  CONSTRAINT ck_coupons_never_too_often CHECK (max_redemptions IS NULL OR redemptions <= max_redemptions),
  CONSTRAINT uq_coupons_code UNIQUE (code)
);

CREATE TRIGGER coupons_keep_insert BEFORE INSERT ON coupons WHEN EXISTS (SELECT 1 FROM coupons AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id OR kept.code = NEW.code)) BEGIN SELECT RAISE(ABORT, 'the terms of a coupon never change'); END;

CREATE TRIGGER coupons_keep_update BEFORE UPDATE ON coupons WHEN NEW.id IS NOT OLD.id OR NEW.code IS NOT OLD.code OR NEW.name IS NOT OLD.name OR NEW.percentage IS NOT OLD.percentage OR NEW.amount_minor IS NOT OLD.amount_minor OR NEW.currency IS NOT OLD.currency OR NEW.duration IS NOT OLD.duration OR NEW.periods IS NOT OLD.periods OR NEW.features IS NOT OLD.features OR NEW.valid_from IS NOT OLD.valid_from OR NEW.valid_to IS NOT OLD.valid_to OR NEW.max_redemptions IS NOT OLD.max_redemptions OR NEW.created_at IS NOT OLD.created_at OR NEW.rowid <> OLD.rowid BEGIN SELECT RAISE(ABORT, 'the terms of a coupon never change'); END;

CREATE TRIGGER coupons_keep_delete BEFORE DELETE ON coupons BEGIN SELECT RAISE(ABORT, 'the terms of a coupon never change'); END;

CREATE TABLE customers (
  id VARCHAR NOT NULL,
  "key" VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  email VARCHAR,
  currency VARCHAR NOT NULL,
  time_zone VARCHAR NOT NULL,
  parent_id VARCHAR,
  address JSON,
  tax_ids JSON NOT NULL,
  tax_exemption VARCHAR NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  archived_at VARCHAR(27),
  CONSTRAINT pk_customers PRIMARY KEY (id),
  CONSTRAINT uq_customers_key UNIQUE ("key"),
  CONSTRAINT fk_customers_parent_id FOREIGN KEY(parent_id) REFERENCES customers (id)
);

CREATE INDEX ix_customers_parent_id ON customers (parent_id);

CREATE TABLE subjects (
  id INTEGER NOT NULL,
  subject VARCHAR NOT NULL,
  consumer_id VARCHAR,
  username VARCHAR,
  custom_id VARCHAR,
  credential VARCHAR,
  first_seen VARCHAR(27) NOT NULL,
  CONSTRAINT pk_subjects PRIMARY KEY (id),
  CONSTRAINT uq_subjects_subject UNIQUE (subject)
);

CREATE INDEX ix_subjects_consumer_id ON subjects (consumer_id);

CREATE INDEX ix_subjects_custom_id ON subjects (custom_id);

CREATE INDEX ix_subjects_username ON subjects (username);

CREATE TABLE verdict_feed (
  id INTEGER NOT NULL,
  epoch VARCHAR NOT NULL,
  version BIGINT NOT NULL,
  oldest_version BIGINT NOT NULL,
  read_sequence BIGINT NOT NULL,
  change_count BIGINT NOT NULL,
  desired_digest VARCHAR NOT NULL,
  derived_at VARCHAR(27),
  derive_again_at VARCHAR(27),
  CONSTRAINT pk_verdict_feed PRIMARY KEY (id)
);

CREATE TABLE gateway_nodes (
  node VARCHAR NOT NULL,
  first_seen_at VARCHAR(27) NOT NULL,
  last_seen_at VARCHAR(27) NOT NULL,
  version VARCHAR NOT NULL,
  enforce VARCHAR NOT NULL,
  verdict_cursor VARCHAR,
  verdict_age_seconds VARCHAR,
  clock_offset_ms BIGINT NOT NULL,
  spool JSON NOT NULL,
  counters JSON NOT NULL,
  warnings JSON NOT NULL,
  silent_since VARCHAR(27),
  CONSTRAINT pk_gateway_nodes PRIMARY KEY (node)
);

CREATE INDEX ix_gateway_nodes_last_seen_at ON gateway_nodes (last_seen_at);

CREATE TABLE legal_entities (
  "key" VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  address JSON,
  tax_id VARCHAR,
  email VARCHAR,
  payment_term_days INTEGER NOT NULL,
  minimum_totals JSON NOT NULL,
  last_below_minimum VARCHAR NOT NULL,
  sends_invoices BOOLEAN NOT NULL,
  tax_mode VARCHAR NOT NULL,
  prices_include_tax BOOLEAN NOT NULL,
  credit_before_tax VARCHAR NOT NULL,
  number_prefix VARCHAR NOT NULL,
  number_digits INTEGER NOT NULL,
  last_number BIGINT NOT NULL,
  credit_note_prefix VARCHAR NOT NULL,
  last_credit_note BIGINT NOT NULL,
  CONSTRAINT pk_legal_entities PRIMARY KEY ("key"),
  CONSTRAINT uq_legal_entities_number_prefix UNIQUE (number_prefix),
  CONSTRAINT uq_legal_entities_credit_note_prefix UNIQUE (credit_note_prefix)
);

CREATE TABLE kong_consumers (
  id VARCHAR NOT NULL,
  username VARCHAR,
  custom_id VARCHAR,
  tags JSON NOT NULL,
  seen_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_kong_consumers PRIMARY KEY (id)
);

CREATE INDEX ix_kong_consumers_username ON kong_consumers (username);

CREATE TABLE kong_services (
  id VARCHAR NOT NULL,
  name VARCHAR,
  tags JSON NOT NULL,
  seen_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_kong_services PRIMARY KEY (id)
);

CREATE INDEX ix_kong_services_name ON kong_services (name);

CREATE TABLE kong_routes (
  id VARCHAR NOT NULL,
  name VARCHAR,
  service_id VARCHAR,
  paths JSON NOT NULL,
  methods JSON NOT NULL,
  tags JSON NOT NULL,
  seen_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_kong_routes PRIMARY KEY (id)
);

CREATE INDEX ix_kong_routes_name ON kong_routes (name);

CREATE INDEX ix_kong_routes_service_id ON kong_routes (service_id);

CREATE TABLE event_exports (
  day INTEGER NOT NULL,
  events BIGINT NOT NULL,
  digest BLOB NOT NULL,
  sha256 VARCHAR NOT NULL,
  exported_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_event_exports PRIMARY KEY (day)
);

CREATE TABLE forgetting_acts (
  id VARCHAR NOT NULL,
  forgotten_at VARCHAR(27) NOT NULL,
  "by" VARCHAR NOT NULL,
  events BIGINT NOT NULL,
  subjects INTEGER NOT NULL,
  dimension_sets INTEGER NOT NULL,
  CONSTRAINT pk_forgetting_acts PRIMARY KEY (id)
);

CREATE TRIGGER forgetting_acts_keep_insert BEFORE INSERT ON forgetting_acts WHEN EXISTS (SELECT 1 FROM forgetting_acts AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id)) BEGIN SELECT RAISE(ABORT, 'an act of forgetting never changes'); END;

CREATE TRIGGER forgetting_acts_keep_update BEFORE UPDATE ON forgetting_acts BEGIN SELECT RAISE(ABORT, 'an act of forgetting never changes'); END;

CREATE TRIGGER forgetting_acts_keep_delete BEFORE DELETE ON forgetting_acts BEGIN SELECT RAISE(ABORT, 'an act of forgetting never changes'); END;

CREATE TABLE retention_bound (
  id INTEGER NOT NULL,
  accept_from INTEGER NOT NULL,
  dropped_until INTEGER NOT NULL,
  CONSTRAINT pk_retention_bound PRIMARY KEY (id)
);

CREATE TABLE dropped_days (
  day INTEGER NOT NULL,
  events BIGINT NOT NULL,
  digest BLOB NOT NULL,
  is_exported BOOLEAN NOT NULL,
  dropped_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_dropped_days PRIMARY KEY (day)
);

CREATE TRIGGER dropped_days_keep_insert BEFORE INSERT ON dropped_days WHEN EXISTS (SELECT 1 FROM dropped_days AS kept WHERE (kept.rowid = NEW.rowid OR kept.day = NEW.day)) BEGIN SELECT RAISE(ABORT, 'what was dropped never changes'); END;

CREATE TRIGGER dropped_days_keep_update BEFORE UPDATE ON dropped_days BEGIN SELECT RAISE(ABORT, 'what was dropped never changes'); END;

CREATE TRIGGER dropped_days_keep_delete BEFORE DELETE ON dropped_days BEGIN SELECT RAISE(ABORT, 'what was dropped never changes'); END;

CREATE TABLE event_sources (
  id INTEGER NOT NULL,
  source VARCHAR NOT NULL,
  CONSTRAINT pk_event_sources PRIMARY KEY (id),
  CONSTRAINT uq_event_sources_source UNIQUE (source)
);

CREATE TABLE events (
  time_us BIGINT NOT NULL,
  source_id INTEGER NOT NULL,
  id_key BLOB NOT NULL,
  set_id BIGINT NOT NULL,
  id_text VARCHAR,
  payload BLOB NOT NULL,
  CONSTRAINT pk_events PRIMARY KEY (time_us, source_id, id_key)
)
 WITHOUT ROWID;

CREATE TABLE untimed_events (
  source_id INTEGER NOT NULL,
  id_key BLOB NOT NULL,
  time_us BIGINT NOT NULL,
  CONSTRAINT pk_untimed_events PRIMARY KEY (source_id, id_key)
)
 WITHOUT ROWID;

CREATE TABLE hourly_totals (
  set_id BIGINT NOT NULL,
  hour INTEGER NOT NULL,
  part BIGINT NOT NULL,
  events BIGINT NOT NULL,
  input_tokens BIGINT NOT NULL,
  output_tokens BIGINT NOT NULL,
  cached_tokens BIGINT NOT NULL,
  response_bytes BIGINT NOT NULL,
  first_us BIGINT NOT NULL,
  last_us BIGINT NOT NULL,
  CONSTRAINT pk_hourly_totals PRIMARY KEY (set_id, hour, part)
)
 WITHOUT ROWID;

CREATE INDEX ix_hourly_totals_hour ON hourly_totals (hour);

CREATE TABLE odd_totals (
  id VARCHAR NOT NULL,
  set_id BIGINT NOT NULL,
  hour INTEGER NOT NULL,
  "column" VARCHAR NOT NULL,
  amount TEXT NOT NULL,
  CONSTRAINT pk_odd_totals PRIMARY KEY (id)
);

CREATE INDEX ix_odd_totals_set_id ON odd_totals (set_id);

CREATE TABLE event_batches (
  id INTEGER NOT NULL,
  transaction_id BIGINT NOT NULL,
  received_at VARCHAR(27) NOT NULL,
  events INTEGER NOT NULL,
  subject_ids JSON NOT NULL,
  CONSTRAINT pk_event_batches PRIMARY KEY (id)
);

CREATE INDEX ix_event_batches_received_at ON event_batches (received_at);

CREATE INDEX ix_event_batches_transaction_id ON event_batches (transaction_id);

CREATE TABLE meters (
  id VARCHAR NOT NULL,
  "key" VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  event_type VARCHAR NOT NULL,
  aggregation VARCHAR NOT NULL,
  value VARCHAR,
  group_by JSON NOT NULL,
  filter JSON NOT NULL,
  is_built_in SMALLINT NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_meters PRIMARY KEY (id),
  CONSTRAINT uq_meters_key UNIQUE ("key")
);

CREATE TABLE event_moves (
  id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
  state SMALLINT NOT NULL,
  events INTEGER NOT NULL
);

CREATE INDEX ix_event_moves_state ON event_moves (state);

CREATE TABLE notifications (
  id VARCHAR NOT NULL,
  "key" VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  payload JSON NOT NULL,
  happened_at VARCHAR(27) NOT NULL,
  is_spread BOOLEAN NOT NULL,
  CONSTRAINT pk_notifications PRIMARY KEY (id),
  CONSTRAINT uq_notifications_key UNIQUE ("key")
);

CREATE INDEX ix_notifications_is_spread ON notifications (is_spread);

CREATE INDEX ix_notifications_kind ON notifications (kind);

CREATE TABLE webhook_endpoints (
  id VARCHAR NOT NULL,
  url VARCHAR NOT NULL,
  kinds JSON NOT NULL,
  secret VARCHAR NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  disabled_at VARCHAR(27),
  CONSTRAINT pk_webhook_endpoints PRIMARY KEY (id),
  CONSTRAINT uq_webhook_endpoints_url UNIQUE (url)
);

CREATE TABLE stripe_requests (
  idempotency_key VARCHAR NOT NULL,
  account VARCHAR NOT NULL,
  operation VARCHAR NOT NULL,
  subject_id VARCHAR NOT NULL,
  part INTEGER NOT NULL,
  attempt INTEGER NOT NULL,
  parameters JSON NOT NULL,
  decided_at VARCHAR(27) NOT NULL,
  answered_at VARCHAR(27),
  stripe_id VARCHAR,
  is_doubtful BOOLEAN NOT NULL,
  error VARCHAR,
  CONSTRAINT pk_stripe_requests PRIMARY KEY (idempotency_key),
  CONSTRAINT uq_stripe_requests_account_operation_subject_id_part_attempt UNIQUE (account, operation, subject_id, part, attempt)
);

CREATE INDEX ix_stripe_requests_subject_id ON stripe_requests (subject_id);

CREATE TABLE stripe_events (
  id VARCHAR NOT NULL,
  type VARCHAR NOT NULL,
  is_live BOOLEAN NOT NULL,
  object_id VARCHAR,
  payload JSON NOT NULL,
  received_at VARCHAR(27) NOT NULL,
  due_at VARCHAR(27) NOT NULL,
  failures INTEGER NOT NULL,
  applied_at VARCHAR(27),
  outcome VARCHAR,
  CONSTRAINT pk_stripe_events PRIMARY KEY (id)
);

CREATE INDEX ix_stripe_events_applied_at_due_at ON stripe_events (applied_at, due_at);

CREATE TABLE stripe_stand_in_objects (
  id VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  body JSON NOT NULL,
  position INTEGER NOT NULL,
  CONSTRAINT pk_stripe_stand_in_objects PRIMARY KEY (id)
);

CREATE INDEX ix_stripe_stand_in_objects_kind ON stripe_stand_in_objects (kind);

CREATE TABLE stripe_stand_in_answers (
  idempotency_key VARCHAR NOT NULL,
  request_digest VARCHAR NOT NULL,
  status INTEGER NOT NULL,
  body VARCHAR NOT NULL,
  CONSTRAINT pk_stripe_stand_in_answers PRIMARY KEY (idempotency_key)
);

CREATE TABLE change_counters (
  topic VARCHAR NOT NULL,
  changes INTEGER NOT NULL,
  CONSTRAINT pk_change_counters PRIMARY KEY (topic)
);

CREATE TABLE test_clock (
  id INTEGER NOT NULL,
  offset_microseconds BIGINT NOT NULL,
  CONSTRAINT pk_test_clock PRIMARY KEY (id)
);

CREATE TABLE tax_rates (
  id VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  tax_code VARCHAR,
  country VARCHAR NOT NULL,
  region VARCHAR,
  percentage TEXT NOT NULL,
  valid_from VARCHAR(27),
  valid_to VARCHAR(27),
  created_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_tax_rates PRIMARY KEY (id),
  CONSTRAINT ck_tax_rates_ends_after_start CHECK (valid_to > valid_from)
);

CREATE INDEX ix_tax_rates_country ON tax_rates (country);

CREATE TRIGGER tax_rates_keep_insert BEFORE INSERT ON tax_rates WHEN EXISTS (SELECT 1 FROM tax_rates AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id)) BEGIN SELECT RAISE(ABORT, 'a tax rate never changes'); END;

CREATE TRIGGER tax_rates_keep_update BEFORE UPDATE ON tax_rates WHEN NEW.id IS NOT OLD.id OR NEW.name IS NOT OLD.name OR NEW.tax_code IS NOT OLD.tax_code OR NEW.country IS NOT OLD.country OR NEW.region IS NOT OLD.region OR NEW.percentage IS NOT OLD.percentage OR NEW.valid_from IS NOT OLD.valid_from OR NEW.created_at IS NOT OLD.created_at OR NEW.rowid <> OLD.rowid BEGIN SELECT RAISE(ABORT, 'a tax rate never changes'); END;

CREATE TRIGGER tax_rates_keep_delete BEFORE DELETE ON tax_rates BEGIN SELECT RAISE(ABORT, 'a tax rate never changes'); END;

CREATE TABLE event_digests (
  day INTEGER NOT NULL,
  subject_id BIGINT NOT NULL,
  arrived_day INTEGER NOT NULL,
  events BIGINT NOT NULL,
  digest BLOB NOT NULL,
  CONSTRAINT pk_event_digests PRIMARY KEY (day, subject_id, arrived_day)
)
 WITHOUT ROWID;

CREATE TABLE digest_parts (
  batch_id INTEGER NOT NULL,
  sums BLOB NOT NULL,
  CONSTRAINT pk_digest_parts PRIMARY KEY (batch_id)
);

CREATE TABLE sign_ins (
  token_digest VARCHAR NOT NULL,
  admin_id VARCHAR NOT NULL,
  started_at VARCHAR(27) NOT NULL,
  last_seen_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_sign_ins PRIMARY KEY (token_digest),
  CONSTRAINT fk_sign_ins_admin_id FOREIGN KEY(admin_id) REFERENCES admin_users (id)
);

CREATE INDEX ix_sign_ins_admin_id ON sign_ins (admin_id);

CREATE TABLE features (
  id VARCHAR NOT NULL,
  "key" VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  meter_key VARCHAR,
  filter JSON NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  archived_at VARCHAR(27),
  CONSTRAINT pk_features PRIMARY KEY (id),
  CONSTRAINT uq_features_key UNIQUE ("key"),
  CONSTRAINT fk_features_meter_key FOREIGN KEY(meter_key) REFERENCES meters ("key")
);

CREATE INDEX ix_features_meter_key ON features (meter_key);

CREATE TABLE plan_versions (
  id VARCHAR NOT NULL,
  plan_id VARCHAR NOT NULL,
  version INTEGER NOT NULL,
  status VARCHAR NOT NULL,
  spec JSON NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  published_at VARCHAR(27),
  archived_at VARCHAR(27),
  CONSTRAINT pk_plan_versions PRIMARY KEY (id),
  CONSTRAINT uq_plan_versions_plan_id_version UNIQUE (plan_id, version),
  CONSTRAINT fk_plan_versions_plan_id FOREIGN KEY(plan_id) REFERENCES plans (id)
);

CREATE UNIQUE INDEX ix_plan_versions_one_of_a_status ON plan_versions (plan_id, status) WHERE status <> 'archived';

CREATE TRIGGER plan_versions_keep_insert BEFORE INSERT ON plan_versions WHEN EXISTS (SELECT 1 FROM plan_versions AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id OR kept.plan_id = NEW.plan_id AND kept.version = NEW.version OR kept.plan_id = NEW.plan_id AND kept.status = NEW.status AND status <> 'archived') AND (kept.status <> 'draft')) BEGIN SELECT RAISE(ABORT, 'a published plan version never changes'); END;

CREATE TRIGGER plan_versions_keep_update BEFORE UPDATE ON plan_versions WHEN (OLD.status <> 'draft') AND (NEW.id IS NOT OLD.id OR NEW.plan_id IS NOT OLD.plan_id OR NEW.version IS NOT OLD.version OR NEW.spec IS NOT OLD.spec OR NEW.created_at IS NOT OLD.created_at OR NEW.published_at IS NOT OLD.published_at OR (OLD.status <> 'draft' AND NOT (NEW.status <> 'draft')) OR (OLD.status = 'archived' AND NOT (NEW.status = 'archived'))) OR NEW.rowid <> OLD.rowid OR EXISTS (SELECT 1 FROM plan_versions AS kept WHERE (kept.id = NEW.id OR kept.plan_id = NEW.plan_id AND kept.version = NEW.version OR kept.plan_id = NEW.plan_id AND kept.status = NEW.status AND status <> 'archived') AND (kept.status <> 'draft') AND kept.rowid <> OLD.rowid) BEGIN SELECT RAISE(ABORT, 'a published plan version never changes'); END;

CREATE TRIGGER plan_versions_keep_delete BEFORE DELETE ON plan_versions WHEN OLD.status <> 'draft' BEGIN SELECT RAISE(ABORT, 'a published plan version never changes'); END;

CREATE TABLE credit_wallets (
  customer_id VARCHAR NOT NULL,
  currency VARCHAR NOT NULL,
  last_sequence BIGINT NOT NULL,
  top_up_threshold_minor BIGINT,
  top_up_amount_minor BIGINT,
  top_up_is_charged BOOLEAN NOT NULL,
  top_up_due_since VARCHAR(27),
  CONSTRAINT pk_credit_wallets PRIMARY KEY (customer_id, currency),
  CONSTRAINT ck_credit_wallets_top_up_is_whole CHECK ((top_up_threshold_minor IS NULL) = (top_up_amount_minor IS NULL)),
  CONSTRAINT fk_credit_wallets_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id)
);

CREATE TABLE consumer_mappings (
  id VARCHAR NOT NULL,
  customer_id VARCHAR NOT NULL,
  "match" VARCHAR NOT NULL,
  value VARCHAR NOT NULL,
  valid_from VARCHAR(27) NOT NULL,
  valid_to VARCHAR(27),
  created_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_consumer_mappings PRIMARY KEY (id),
  CONSTRAINT fk_consumer_mappings_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id)
);

CREATE INDEX ix_consumer_mappings_customer_id ON consumer_mappings (customer_id);

CREATE INDEX ix_consumer_mappings_match_value ON consumer_mappings ("match", value);

CREATE TABLE attributions (
  id VARCHAR NOT NULL,
  subject VARCHAR NOT NULL,
  customer_id VARCHAR NOT NULL,
  valid_from VARCHAR(27) NOT NULL,
  valid_to VARCHAR(27),
  CONSTRAINT pk_attributions PRIMARY KEY (id),
  CONSTRAINT fk_attributions_subject FOREIGN KEY(subject) REFERENCES subjects (subject),
  CONSTRAINT fk_attributions_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id)
);

CREATE INDEX ix_attributions_customer_id ON attributions (customer_id);

CREATE INDEX ix_attributions_subject ON attributions (subject);

CREATE TABLE subject_verdicts (
  subject VARCHAR NOT NULL,
  customer_id VARCHAR NOT NULL,
  customer_key VARCHAR NOT NULL,
  removed_at VARCHAR(27),
  version BIGINT NOT NULL,
  CONSTRAINT pk_subject_verdicts PRIMARY KEY (subject),
  CONSTRAINT fk_subject_verdicts_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id)
);

CREATE INDEX ix_subject_verdicts_customer_id ON subject_verdicts (customer_id);

CREATE INDEX ix_subject_verdicts_version ON subject_verdicts (version);

CREATE TABLE billing_terms (
  customer_id VARCHAR NOT NULL,
  legal_entity VARCHAR,
  payment_term_days INTEGER,
  CONSTRAINT pk_billing_terms PRIMARY KEY (customer_id),
  CONSTRAINT fk_billing_terms_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id),
  CONSTRAINT fk_billing_terms_legal_entity FOREIGN KEY(legal_entity) REFERENCES legal_entities ("key")
);

CREATE TABLE invoices (
  id VARCHAR NOT NULL,
  legal_entity VARCHAR NOT NULL,
  number VARCHAR,
  sequence_number BIGINT,
  customer_id VARCHAR NOT NULL,
  buyer JSON NOT NULL,
  seller JSON NOT NULL,
  currency VARCHAR NOT NULL,
  status VARCHAR NOT NULL,
  period_start VARCHAR(27) NOT NULL,
  period_end VARCHAR(27) NOT NULL,
  total_minor BIGINT NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  issued_at VARCHAR(27),
  due_at VARCHAR(27),
  content_digest VARCHAR,
  paid_at VARCHAR(27),
  voided_at VARCHAR(27),
  amount_paid_minor BIGINT NOT NULL,
  amount_credited_minor BIGINT NOT NULL,
  act_count INTEGER NOT NULL,
  stripe_id VARCHAR,
  stripe_status VARCHAR,
  stripe_problem VARCHAR,
  stripe_is_stand_in BOOLEAN NOT NULL,
  hosted_invoice_url VARCHAR,
  CONSTRAINT pk_invoices PRIMARY KEY (id),
  CONSTRAINT uq_invoices_legal_entity_sequence_number UNIQUE (legal_entity, sequence_number),
  CONSTRAINT ck_invoices_issued_has_number CHECK ((status = 'draft') = (number IS NULL)),
  CONSTRAINT fk_invoices_legal_entity FOREIGN KEY(legal_entity) REFERENCES legal_entities ("key"),
  CONSTRAINT uq_invoices_number UNIQUE (number),
  CONSTRAINT fk_invoices_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id),
  CONSTRAINT uq_invoices_stripe_id UNIQUE (stripe_id)
);

CREATE INDEX ix_invoices_customer_id_created_at ON invoices (customer_id, created_at);

CREATE INDEX ix_invoices_status_due_at ON invoices (status, due_at);

CREATE INDEX ix_invoices_status_stripe_status ON invoices (status, stripe_status);

CREATE TRIGGER invoices_keep_insert BEFORE INSERT ON invoices WHEN EXISTS (SELECT 1 FROM invoices AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id OR kept.legal_entity = NEW.legal_entity AND kept.sequence_number = NEW.sequence_number OR kept.number = NEW.number OR kept.stripe_id = NEW.stripe_id) AND (kept.status <> 'draft')) BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END;

CREATE TRIGGER invoices_keep_update BEFORE UPDATE ON invoices WHEN (OLD.status <> 'draft') AND (NEW.id IS NOT OLD.id OR NEW.legal_entity IS NOT OLD.legal_entity OR NEW.number IS NOT OLD.number OR NEW.sequence_number IS NOT OLD.sequence_number OR NEW.customer_id IS NOT OLD.customer_id OR NEW.buyer IS NOT OLD.buyer OR NEW.seller IS NOT OLD.seller OR NEW.currency IS NOT OLD.currency OR NEW.period_start IS NOT OLD.period_start OR NEW.period_end IS NOT OLD.period_end OR NEW.total_minor IS NOT OLD.total_minor OR NEW.created_at IS NOT OLD.created_at OR NEW.issued_at IS NOT OLD.issued_at OR NEW.due_at IS NOT OLD.due_at OR NEW.content_digest IS NOT OLD.content_digest OR (OLD.status <> 'draft' AND NOT (NEW.status <> 'draft')) OR (OLD.status = 'void' AND NOT (NEW.status = 'void'))) OR NEW.rowid <> OLD.rowid OR EXISTS (SELECT 1 FROM invoices AS kept WHERE (kept.id = NEW.id OR kept.legal_entity = NEW.legal_entity AND kept.sequence_number = NEW.sequence_number OR kept.number = NEW.number OR kept.stripe_id = NEW.stripe_id) AND (kept.status <> 'draft') AND kept.rowid <> OLD.rowid) BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END;

CREATE TRIGGER invoices_keep_delete BEFORE DELETE ON invoices WHEN OLD.status <> 'draft' BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END;

CREATE TABLE forgotten_days (
  act_id VARCHAR NOT NULL,
  day INTEGER NOT NULL,
  delta BLOB NOT NULL,
  CONSTRAINT pk_forgotten_days PRIMARY KEY (act_id, day),
  CONSTRAINT fk_forgotten_days_act_id FOREIGN KEY(act_id) REFERENCES forgetting_acts (id)
);

CREATE TRIGGER forgotten_days_keep_insert BEFORE INSERT ON forgotten_days WHEN EXISTS (SELECT 1 FROM forgotten_days AS kept WHERE (kept.rowid = NEW.rowid OR kept.act_id = NEW.act_id AND kept.day = NEW.day)) BEGIN SELECT RAISE(ABORT, 'what forgetting did to a day never changes'); END;

CREATE TRIGGER forgotten_days_keep_update BEFORE UPDATE ON forgotten_days BEGIN SELECT RAISE(ABORT, 'what forgetting did to a day never changes'); END;

CREATE TRIGGER forgotten_days_keep_delete BEFORE DELETE ON forgotten_days BEGIN SELECT RAISE(ABORT, 'what forgetting did to a day never changes'); END;

CREATE TABLE dimension_sets (
  id INTEGER NOT NULL,
  digest BLOB NOT NULL,
  event_type VARCHAR NOT NULL,
  subject_id INTEGER NOT NULL,
  measured SMALLINT NOT NULL,
  dimensions JSON NOT NULL,
  CONSTRAINT pk_dimension_sets PRIMARY KEY (id),
  CONSTRAINT uq_dimension_sets_digest UNIQUE (digest),
  CONSTRAINT fk_dimension_sets_subject_id FOREIGN KEY(subject_id) REFERENCES subjects (id)
);

CREATE INDEX ix_dimension_sets_event_type ON dimension_sets (event_type);

CREATE INDEX ix_dimension_sets_subject_id ON dimension_sets (subject_id);

CREATE TABLE webhook_deliveries (
  id VARCHAR NOT NULL,
  notification_id VARCHAR NOT NULL,
  endpoint_id VARCHAR NOT NULL,
  attempts INTEGER NOT NULL,
  next_attempt_at VARCHAR(27),
  delivered_at VARCHAR(27),
  given_up_at VARCHAR(27),
  last_status INTEGER,
  last_error VARCHAR,
  CONSTRAINT pk_webhook_deliveries PRIMARY KEY (id),
  CONSTRAINT uq_webhook_deliveries_notification_id_endpoint_id UNIQUE (notification_id, endpoint_id),
  CONSTRAINT fk_webhook_deliveries_notification_id FOREIGN KEY(notification_id) REFERENCES notifications (id),
  CONSTRAINT fk_webhook_deliveries_endpoint_id FOREIGN KEY(endpoint_id) REFERENCES webhook_endpoints (id)
);

CREATE INDEX ix_webhook_deliveries_endpoint_id ON webhook_deliveries (endpoint_id);

CREATE INDEX ix_webhook_deliveries_next_attempt_at ON webhook_deliveries (next_attempt_at);

CREATE TABLE stripe_customers (
  customer_id VARCHAR NOT NULL,
  account VARCHAR NOT NULL,
  stripe_id VARCHAR NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_stripe_customers PRIMARY KEY (customer_id, account),
  CONSTRAINT fk_stripe_customers_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id),
  CONSTRAINT uq_stripe_customers_stripe_id UNIQUE (stripe_id)
);

CREATE TABLE credit_grants (
  id VARCHAR NOT NULL,
  customer_id VARCHAR NOT NULL,
  currency VARCHAR NOT NULL,
  "key" VARCHAR,
  kind VARCHAR NOT NULL,
  name VARCHAR NOT NULL,
  amount_minor BIGINT NOT NULL,
  priority INTEGER NOT NULL,
  effective_at VARCHAR(27) NOT NULL,
  expires_at VARCHAR(27),
  reset_every VARCHAR,
  time_zone VARCHAR NOT NULL,
  min_rollover_minor BIGINT NOT NULL,
  max_rollover_minor BIGINT NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  remaining_minor BIGINT NOT NULL,
  voided_at VARCHAR(27),
  next_act_at VARCHAR(27),
  CONSTRAINT pk_credit_grants PRIMARY KEY (id),
  CONSTRAINT fk_credit_grants_customer_id_currency FOREIGN KEY(customer_id, currency) REFERENCES credit_wallets (customer_id, currency),
  CONSTRAINT uq_credit_grants_customer_id_key UNIQUE (customer_id, "key"),
  CONSTRAINT ck_credit_grants_amount_is_positive CHECK (amount_minor > 0),
  CONSTRAINT ck_credit_grants_never_below_zero CHECK (remaining_minor >= 0),
  CONSTRAINT ck_credit_grants_expires_after_start CHECK (expires_at IS NULL OR expires_at > effective_at)
);

CREATE INDEX ix_credit_grants_customer_id_currency ON credit_grants (customer_id, currency);

CREATE INDEX ix_credit_grants_next_act_at ON credit_grants (next_act_at);

CREATE TRIGGER credit_grants_keep_insert BEFORE INSERT ON credit_grants WHEN EXISTS (SELECT 1 FROM credit_grants AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id OR kept.customer_id = NEW.customer_id AND kept.key = NEW.key)) BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TRIGGER credit_grants_keep_update BEFORE UPDATE ON credit_grants WHEN NEW.id IS NOT OLD.id OR NEW.customer_id IS NOT OLD.customer_id OR NEW.currency IS NOT OLD.currency OR NEW.key IS NOT OLD.key OR NEW.kind IS NOT OLD.kind OR NEW.name IS NOT OLD.name OR NEW.amount_minor IS NOT OLD.amount_minor OR NEW.priority IS NOT OLD.priority OR NEW.effective_at IS NOT OLD.effective_at OR NEW.expires_at IS NOT OLD.expires_at OR NEW.reset_every IS NOT OLD.reset_every OR NEW.time_zone IS NOT OLD.time_zone OR NEW.min_rollover_minor IS NOT OLD.min_rollover_minor OR NEW.max_rollover_minor IS NOT OLD.max_rollover_minor OR NEW.created_at IS NOT OLD.created_at OR NEW.rowid <> OLD.rowid BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TRIGGER credit_grants_keep_delete BEFORE DELETE ON credit_grants BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TABLE credit_transactions (
  id VARCHAR NOT NULL,
  "key" VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  customer_id VARCHAR NOT NULL,
  currency VARCHAR NOT NULL,
  sequence BIGINT NOT NULL,
  reference VARCHAR,
  asked_minor BIGINT,
  happened_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_credit_transactions PRIMARY KEY (id),
  CONSTRAINT fk_credit_transactions_customer_id_currency FOREIGN KEY(customer_id, currency) REFERENCES credit_wallets (customer_id, currency),
  CONSTRAINT uq_credit_transactions_customer_id_currency_sequence UNIQUE (customer_id, currency, sequence),
  CONSTRAINT uq_credit_transactions_key UNIQUE ("key")
);

CREATE INDEX ix_credit_transactions_reference ON credit_transactions (reference);

CREATE TRIGGER credit_transactions_keep_insert BEFORE INSERT ON credit_transactions WHEN EXISTS (SELECT 1 FROM credit_transactions AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id OR kept.customer_id = NEW.customer_id AND kept.currency = NEW.currency AND kept.sequence = NEW.sequence OR kept.key = NEW.key)) BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TRIGGER credit_transactions_keep_update BEFORE UPDATE ON credit_transactions BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TRIGGER credit_transactions_keep_delete BEFORE DELETE ON credit_transactions BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TABLE credit_notes (
  id VARCHAR NOT NULL,
  legal_entity VARCHAR NOT NULL,
  number VARCHAR NOT NULL,
  sequence_number BIGINT NOT NULL,
  invoice_id VARCHAR NOT NULL,
  customer_id VARCHAR NOT NULL,
  buyer JSON NOT NULL,
  seller JSON NOT NULL,
  currency VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  memo VARCHAR NOT NULL,
  "key" VARCHAR,
  net_minor BIGINT NOT NULL,
  tax_minor BIGINT NOT NULL,
  total_minor BIGINT NOT NULL,
  reduction_minor BIGINT NOT NULL,
  credit_minor BIGINT NOT NULL,
  prepaid_minor BIGINT NOT NULL,
  refund_minor BIGINT NOT NULL,
  out_of_band_minor BIGINT NOT NULL,
  proof JSON NOT NULL,
  issued_at VARCHAR(27) NOT NULL,
  issued_by VARCHAR NOT NULL,
  content_digest VARCHAR NOT NULL,
  status VARCHAR NOT NULL,
  voided_at VARCHAR(27),
  voided_by VARCHAR,
  stripe_id VARCHAR,
  stripe_state VARCHAR NOT NULL,
  stripe_due_at VARCHAR(27) NOT NULL,
  stripe_failures INTEGER NOT NULL,
  stripe_problem VARCHAR,
  CONSTRAINT pk_credit_notes PRIMARY KEY (id),
  CONSTRAINT uq_credit_notes_legal_entity_sequence_number UNIQUE (legal_entity, sequence_number),
  CONSTRAINT uq_credit_notes_invoice_id_key UNIQUE (invoice_id, "key"),
  CONSTRAINT ck_credit_notes_takes_something_back CHECK (total_minor > 0 AND net_minor >= 0 AND tax_minor >= 0),
  CONSTRAINT ck_credit_notes_net_and_tax CHECK (net_minor + tax_minor = total_minor),
  CONSTRAINT ck_credit_notes_goes_somewhere CHECK (reduction_minor + credit_minor + refund_minor + out_of_band_minor = total_minor),
  CONSTRAINT fk_credit_notes_legal_entity FOREIGN KEY(legal_entity) REFERENCES legal_entities ("key"),
  CONSTRAINT uq_credit_notes_number UNIQUE (number),
  CONSTRAINT fk_credit_notes_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id),
  CONSTRAINT fk_credit_notes_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id),
  CONSTRAINT uq_credit_notes_stripe_id UNIQUE (stripe_id)
);

CREATE INDEX ix_credit_notes_customer_id ON credit_notes (customer_id);

CREATE INDEX ix_credit_notes_invoice_id ON credit_notes (invoice_id);

CREATE INDEX ix_credit_notes_stripe_state_stripe_due_at ON credit_notes (stripe_state, stripe_due_at);

CREATE TRIGGER credit_notes_keep_insert BEFORE INSERT ON credit_notes WHEN EXISTS (SELECT 1 FROM credit_notes AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id OR kept.invoice_id = NEW.invoice_id AND kept.key = NEW.key OR kept.legal_entity = NEW.legal_entity AND kept.sequence_number = NEW.sequence_number OR kept.number = NEW.number OR kept.stripe_id = NEW.stripe_id)) BEGIN SELECT RAISE(ABORT, 'an issued credit note never changes'); END;

CREATE TRIGGER credit_notes_keep_update BEFORE UPDATE ON credit_notes WHEN NEW.id IS NOT OLD.id OR NEW.legal_entity IS NOT OLD.legal_entity OR NEW.number IS NOT OLD.number OR NEW.sequence_number IS NOT OLD.sequence_number OR NEW.invoice_id IS NOT OLD.invoice_id OR NEW.customer_id IS NOT OLD.customer_id OR NEW.buyer IS NOT OLD.buyer OR NEW.seller IS NOT OLD.seller OR NEW.currency IS NOT OLD.currency OR NEW.reason IS NOT OLD.reason OR NEW.memo IS NOT OLD.memo OR NEW.key IS NOT OLD.key OR NEW.net_minor IS NOT OLD.net_minor OR NEW.tax_minor IS NOT OLD.tax_minor OR NEW.total_minor IS NOT OLD.total_minor OR NEW.reduction_minor IS NOT OLD.reduction_minor OR NEW.credit_minor IS NOT OLD.credit_minor OR NEW.prepaid_minor IS NOT OLD.prepaid_minor OR NEW.refund_minor IS NOT OLD.refund_minor OR NEW.out_of_band_minor IS NOT OLD.out_of_band_minor OR NEW.proof IS NOT OLD.proof OR NEW.issued_at IS NOT OLD.issued_at OR NEW.issued_by IS NOT OLD.issued_by OR NEW.content_digest IS NOT OLD.content_digest OR (OLD.status = 'void' AND NOT (NEW.status = 'void')) OR NEW.rowid <> OLD.rowid OR EXISTS (SELECT 1 FROM credit_notes AS kept WHERE (kept.stripe_id = NEW.stripe_id) AND kept.rowid <> OLD.rowid) BEGIN SELECT RAISE(ABORT, 'an issued credit note never changes'); END;

CREATE TRIGGER credit_notes_keep_delete BEFORE DELETE ON credit_notes BEGIN SELECT RAISE(ABORT, 'an issued credit note never changes'); END;

CREATE TABLE invoice_mails (
  id VARCHAR NOT NULL,
  "key" VARCHAR NOT NULL,
  invoice_id VARCHAR NOT NULL,
  asked_at VARCHAR(27) NOT NULL,
  asked_by VARCHAR NOT NULL,
  attempts INTEGER NOT NULL,
  next_attempt_at VARCHAR(27),
  sent_at VARCHAR(27),
  given_up_at VARCHAR(27),
  last_error VARCHAR,
  CONSTRAINT pk_invoice_mails PRIMARY KEY (id),
  CONSTRAINT uq_invoice_mails_key UNIQUE ("key"),
  CONSTRAINT fk_invoice_mails_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
);

CREATE INDEX ix_invoice_mails_invoice_id ON invoice_mails (invoice_id);

CREATE INDEX ix_invoice_mails_next_attempt_at ON invoice_mails (next_attempt_at);

CREATE TABLE invoice_payments (
  id VARCHAR NOT NULL,
  invoice_id VARCHAR NOT NULL,
  amount_minor BIGINT NOT NULL,
  method VARCHAR NOT NULL,
  reference VARCHAR,
  "key" VARCHAR,
  received_at VARCHAR(27) NOT NULL,
  recorded_at VARCHAR(27) NOT NULL,
  recorded_by VARCHAR NOT NULL,
  CONSTRAINT pk_invoice_payments PRIMARY KEY (id),
  CONSTRAINT uq_invoice_payments_invoice_id_key UNIQUE (invoice_id, "key"),
  CONSTRAINT ck_invoice_payments_amount_is_positive CHECK (amount_minor > 0),
  CONSTRAINT fk_invoice_payments_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
);

CREATE INDEX ix_invoice_payments_invoice_id ON invoice_payments (invoice_id);

CREATE TRIGGER invoice_payments_keep_insert BEFORE INSERT ON invoice_payments WHEN EXISTS (SELECT 1 FROM invoice_payments AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id OR kept.invoice_id = NEW.invoice_id AND kept.key = NEW.key)) BEGIN SELECT RAISE(ABORT, 'a recorded payment never changes'); END;

CREATE TRIGGER invoice_payments_keep_update BEFORE UPDATE ON invoice_payments BEGIN SELECT RAISE(ABORT, 'a recorded payment never changes'); END;

CREATE TRIGGER invoice_payments_keep_delete BEFORE DELETE ON invoice_payments BEGIN SELECT RAISE(ABORT, 'a recorded payment never changes'); END;

CREATE TABLE invoice_acts (
  invoice_id VARCHAR NOT NULL,
  position INTEGER NOT NULL,
  kind VARCHAR NOT NULL,
  from_status VARCHAR NOT NULL,
  to_status VARCHAR NOT NULL,
  happened_at VARCHAR(27) NOT NULL,
  "by" VARCHAR NOT NULL,
  note VARCHAR NOT NULL,
  CONSTRAINT pk_invoice_acts PRIMARY KEY (invoice_id, position),
  CONSTRAINT fk_invoice_acts_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
);

CREATE TRIGGER invoice_acts_keep_insert BEFORE INSERT ON invoice_acts WHEN EXISTS (SELECT 1 FROM invoice_acts AS kept WHERE (kept.rowid = NEW.rowid OR kept.invoice_id = NEW.invoice_id AND kept.position = NEW.position)) BEGIN SELECT RAISE(ABORT, 'what was done to an invoice never changes'); END;

CREATE TRIGGER invoice_acts_keep_update BEFORE UPDATE ON invoice_acts BEGIN SELECT RAISE(ABORT, 'what was done to an invoice never changes'); END;

CREATE TRIGGER invoice_acts_keep_delete BEFORE DELETE ON invoice_acts BEGIN SELECT RAISE(ABORT, 'what was done to an invoice never changes'); END;

CREATE TABLE credit_top_ups (
  customer_id VARCHAR NOT NULL,
  currency VARCHAR NOT NULL,
  due_since VARCHAR(27) NOT NULL,
  invoice_id VARCHAR NOT NULL,
  amount_minor BIGINT NOT NULL,
  CONSTRAINT pk_credit_top_ups PRIMARY KEY (customer_id, currency, due_since),
  CONSTRAINT fk_credit_top_ups_customer_id_currency FOREIGN KEY(customer_id, currency) REFERENCES credit_wallets (customer_id, currency),
  CONSTRAINT ck_credit_top_ups_amount_is_positive CHECK (amount_minor > 0),
  CONSTRAINT uq_credit_top_ups_invoice_id UNIQUE (invoice_id),
  CONSTRAINT fk_credit_top_ups_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
);

CREATE TRIGGER credit_top_ups_keep_insert BEFORE INSERT ON credit_top_ups WHEN EXISTS (SELECT 1 FROM credit_top_ups AS kept WHERE (kept.rowid = NEW.rowid OR kept.customer_id = NEW.customer_id AND kept.currency = NEW.currency AND kept.due_since = NEW.due_since OR kept.invoice_id = NEW.invoice_id)) BEGIN SELECT RAISE(ABORT, 'which invoice charges a top-up never changes'); END;

CREATE TRIGGER credit_top_ups_keep_update BEFORE UPDATE ON credit_top_ups BEGIN SELECT RAISE(ABORT, 'which invoice charges a top-up never changes'); END;

CREATE TRIGGER credit_top_ups_keep_delete BEFORE DELETE ON credit_top_ups BEGIN SELECT RAISE(ABORT, 'which invoice charges a top-up never changes'); END;

CREATE TABLE stripe_syncs (
  invoice_id VARCHAR NOT NULL,
  goal VARCHAR NOT NULL,
  state VARCHAR NOT NULL,
  due_at VARCHAR(27) NOT NULL,
  claimed_until VARCHAR(27),
  failures INTEGER NOT NULL,
  problem VARCHAR,
  created_at VARCHAR(27) NOT NULL,
  read_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_stripe_syncs PRIMARY KEY (invoice_id),
  CONSTRAINT fk_stripe_syncs_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
);

CREATE INDEX ix_stripe_syncs_state_due_at ON stripe_syncs (state, due_at);

CREATE TABLE subscriptions (
  id VARCHAR NOT NULL,
  customer_id VARCHAR NOT NULL,
  plan_key VARCHAR NOT NULL,
  plan_version_id VARCHAR NOT NULL,
  status VARCHAR NOT NULL,
  currency VARCHAR NOT NULL,
  time_zone VARCHAR NOT NULL,
  anchor VARCHAR(27) NOT NULL,
  started_at VARCHAR(27) NOT NULL,
  ends_at VARCHAR(27),
  is_rest_forfeited BOOLEAN NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  canceled_at VARCHAR(27),
  billed_until VARCHAR(27),
  next_due_at VARCHAR(27),
  CONSTRAINT pk_subscriptions PRIMARY KEY (id),
  CONSTRAINT fk_subscriptions_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id),
  CONSTRAINT fk_subscriptions_plan_version_id FOREIGN KEY(plan_version_id) REFERENCES plan_versions (id)
);

CREATE INDEX ix_subscriptions_customer_id ON subscriptions (customer_id);

CREATE INDEX ix_subscriptions_next_due_at ON subscriptions (next_due_at);

CREATE INDEX ix_subscriptions_plan_version_id ON subscriptions (plan_version_id);

CREATE TRIGGER subscriptions_keep_insert BEFORE INSERT ON subscriptions WHEN EXISTS (SELECT 1 FROM subscriptions AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id)) BEGIN SELECT RAISE(ABORT, 'whose a subscription is and its calendar never change'); END;

CREATE TRIGGER subscriptions_keep_update BEFORE UPDATE ON subscriptions WHEN NEW.id IS NOT OLD.id OR NEW.customer_id IS NOT OLD.customer_id OR NEW.currency IS NOT OLD.currency OR NEW.time_zone IS NOT OLD.time_zone OR NEW.anchor IS NOT OLD.anchor OR NEW.started_at IS NOT OLD.started_at OR NEW.created_at IS NOT OLD.created_at OR NEW.rowid <> OLD.rowid BEGIN SELECT RAISE(ABORT, 'whose a subscription is and its calendar never change'); END;

CREATE TRIGGER subscriptions_keep_delete BEFORE DELETE ON subscriptions BEGIN SELECT RAISE(ABORT, 'whose a subscription is and its calendar never change'); END;

CREATE TABLE coupon_redemptions (
  id VARCHAR NOT NULL,
  coupon_id VARCHAR NOT NULL,
  customer_id VARCHAR NOT NULL,
  subscription_id VARCHAR,
  target VARCHAR NOT NULL,
  redeemed_at VARCHAR(27) NOT NULL,
  ended_at VARCHAR(27),
  CONSTRAINT pk_coupon_redemptions PRIMARY KEY (id),
  CONSTRAINT uq_coupon_redemptions_coupon_id_target UNIQUE (coupon_id, target),
  CONSTRAINT fk_coupon_redemptions_coupon_id FOREIGN KEY(coupon_id) REFERENCES coupons (id),
  CONSTRAINT fk_coupon_redemptions_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id),
  CONSTRAINT fk_coupon_redemptions_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (id)
);

CREATE INDEX ix_coupon_redemptions_customer_id ON coupon_redemptions (customer_id);

CREATE TABLE credit_accounts (
  id VARCHAR NOT NULL,
  currency VARCHAR NOT NULL,
  grant_id VARCHAR,
  CONSTRAINT pk_credit_accounts PRIMARY KEY (id),
  CONSTRAINT uq_credit_accounts_grant_id UNIQUE (grant_id),
  CONSTRAINT fk_credit_accounts_grant_id FOREIGN KEY(grant_id) REFERENCES credit_grants (id)
);

CREATE TRIGGER credit_accounts_keep_insert BEFORE INSERT ON credit_accounts WHEN EXISTS (SELECT 1 FROM credit_accounts AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id OR kept.grant_id = NEW.grant_id)) BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TRIGGER credit_accounts_keep_update BEFORE UPDATE ON credit_accounts BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TRIGGER credit_accounts_keep_delete BEFORE DELETE ON credit_accounts BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TABLE entitlement_limits (
  id VARCHAR NOT NULL,
  subscription_id VARCHAR,
  customer_id VARCHAR,
  feature_key VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  scope JSON NOT NULL,
  quota TEXT NOT NULL,
  is_hard BOOLEAN NOT NULL,
  is_paused BOOLEAN NOT NULL,
  thresholds JSON NOT NULL,
  status INTEGER NOT NULL,
  period_start VARCHAR(27),
  period_end VARCHAR(27),
  stretches JSON NOT NULL,
  used TEXT NOT NULL,
  counted_at VARCHAR(27),
  count_again_at VARCHAR(27),
  edges JSON NOT NULL,
  state VARCHAR NOT NULL,
  code VARCHAR NOT NULL,
  reason VARCHAR NOT NULL,
  is_stale BOOLEAN NOT NULL,
  is_unpublished BOOLEAN NOT NULL,
  published_state VARCHAR NOT NULL,
  published_used TEXT NOT NULL,
  published_at VARCHAR(27),
  version BIGINT NOT NULL,
  CONSTRAINT pk_entitlement_limits PRIMARY KEY (id),
  CONSTRAINT fk_entitlement_limits_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (id),
  CONSTRAINT fk_entitlement_limits_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id)
);

CREATE INDEX ix_entitlement_limits_is_stale ON entitlement_limits (is_stale);

CREATE INDEX ix_entitlement_limits_is_unpublished ON entitlement_limits (is_unpublished);

CREATE INDEX ix_entitlement_limits_subscription_id ON entitlement_limits (subscription_id);

CREATE INDEX ix_entitlement_limits_version ON entitlement_limits (version);

CREATE TABLE usage_marks (
  subscription_id VARCHAR NOT NULL,
  hour INTEGER NOT NULL,
  events BIGINT NOT NULL,
  covers VARCHAR NOT NULL,
  CONSTRAINT pk_usage_marks PRIMARY KEY (subscription_id),
  CONSTRAINT fk_usage_marks_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (id)
);

CREATE TABLE subscription_terms (
  id VARCHAR NOT NULL,
  subscription_id VARCHAR NOT NULL,
  kind VARCHAR NOT NULL,
  plan_version_id VARCHAR NOT NULL,
  starts_at VARCHAR(27) NOT NULL,
  ends_at VARCHAR(27),
  quantity TEXT NOT NULL,
  first_phase_key VARCHAR,
  phases_from VARCHAR(27),
  removed_at VARCHAR(27),
  CONSTRAINT pk_subscription_terms PRIMARY KEY (id),
  CONSTRAINT fk_subscription_terms_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (id),
  CONSTRAINT fk_subscription_terms_plan_version_id FOREIGN KEY(plan_version_id) REFERENCES plan_versions (id)
);

CREATE INDEX ix_subscription_terms_plan_version_id ON subscription_terms (plan_version_id);

CREATE UNIQUE INDEX ix_subscription_terms_one_at_a_time ON subscription_terms (subscription_id, starts_at) WHERE removed_at IS NULL AND kind = 'plan';

CREATE TABLE subscription_pauses (
  id VARCHAR NOT NULL,
  subscription_id VARCHAR NOT NULL,
  starts_at VARCHAR(27) NOT NULL,
  ends_at VARCHAR(27),
  created_at VARCHAR(27) NOT NULL,
  removed_at VARCHAR(27),
  CONSTRAINT pk_subscription_pauses PRIMARY KEY (id),
  CONSTRAINT fk_subscription_pauses_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (id)
);

CREATE INDEX ix_subscription_pauses_subscription_id ON subscription_pauses (subscription_id);

CREATE TABLE subscription_quantities (
  id VARCHAR NOT NULL,
  subscription_id VARCHAR NOT NULL,
  rate_card_key VARCHAR NOT NULL,
  quantity TEXT NOT NULL,
  starts_at VARCHAR(27) NOT NULL,
  CONSTRAINT pk_subscription_quantities PRIMARY KEY (id),
  CONSTRAINT uq_subscription_quantities_subscription_id_rate_card_key_starts_at UNIQUE (subscription_id, rate_card_key, starts_at),
  CONSTRAINT fk_subscription_quantities_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (id)
);

CREATE TABLE subscription_overrides (
  id VARCHAR NOT NULL,
  subscription_id VARCHAR NOT NULL,
  plan_id VARCHAR NOT NULL,
  phase_key VARCHAR NOT NULL,
  rate_card_key VARCHAR NOT NULL,
  rate_card JSON,
  is_added BOOLEAN NOT NULL,
  is_reset BOOLEAN NOT NULL,
  starts_at VARCHAR(27) NOT NULL,
  created_at VARCHAR(27) NOT NULL,
  removed_at VARCHAR(27),
  CONSTRAINT pk_subscription_overrides PRIMARY KEY (id),
  CONSTRAINT fk_subscription_overrides_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (id),
  CONSTRAINT fk_subscription_overrides_plan_id FOREIGN KEY(plan_id) REFERENCES plans (id)
);

CREATE INDEX ix_subscription_overrides_subscription_id ON subscription_overrides (subscription_id);

CREATE TRIGGER subscription_overrides_keep_insert BEFORE INSERT ON subscription_overrides WHEN EXISTS (SELECT 1 FROM subscription_overrides AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id)) BEGIN SELECT RAISE(ABORT, 'a price override never changes'); END;

CREATE TRIGGER subscription_overrides_keep_update BEFORE UPDATE ON subscription_overrides WHEN NEW.id IS NOT OLD.id OR NEW.subscription_id IS NOT OLD.subscription_id OR NEW.plan_id IS NOT OLD.plan_id OR NEW.phase_key IS NOT OLD.phase_key OR NEW.rate_card_key IS NOT OLD.rate_card_key OR NEW.rate_card IS NOT OLD.rate_card OR NEW.is_added IS NOT OLD.is_added OR NEW.is_reset IS NOT OLD.is_reset OR NEW.starts_at IS NOT OLD.starts_at OR NEW.created_at IS NOT OLD.created_at OR NEW.rowid <> OLD.rowid BEGIN SELECT RAISE(ABORT, 'a price override never changes'); END;

CREATE TRIGGER subscription_overrides_keep_delete BEFORE DELETE ON subscription_overrides BEGIN SELECT RAISE(ABORT, 'a price override never changes'); END;

CREATE TABLE coupon_uses (
  redemption_id VARCHAR NOT NULL,
  invoice_id VARCHAR NOT NULL,
  amount_minor BIGINT NOT NULL,
  used_at VARCHAR(27) NOT NULL,
  released_at VARCHAR(27),
  CONSTRAINT pk_coupon_uses PRIMARY KEY (redemption_id, invoice_id),
  CONSTRAINT ck_coupon_uses_takes_something CHECK (amount_minor > 0),
  CONSTRAINT fk_coupon_uses_redemption_id FOREIGN KEY(redemption_id) REFERENCES coupon_redemptions (id),
  CONSTRAINT fk_coupon_uses_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
);

CREATE INDEX ix_coupon_uses_invoice_id ON coupon_uses (invoice_id);

CREATE TRIGGER coupon_uses_keep_insert BEFORE INSERT ON coupon_uses WHEN EXISTS (SELECT 1 FROM coupon_uses AS kept WHERE (kept.rowid = NEW.rowid OR kept.redemption_id = NEW.redemption_id AND kept.invoice_id = NEW.invoice_id)) BEGIN SELECT RAISE(ABORT, 'what a coupon took off never changes'); END;

CREATE TRIGGER coupon_uses_keep_update BEFORE UPDATE ON coupon_uses WHEN NEW.redemption_id IS NOT OLD.redemption_id OR NEW.invoice_id IS NOT OLD.invoice_id OR NEW.amount_minor IS NOT OLD.amount_minor OR NEW.used_at IS NOT OLD.used_at OR NEW.rowid <> OLD.rowid BEGIN SELECT RAISE(ABORT, 'what a coupon took off never changes'); END;

CREATE TRIGGER coupon_uses_keep_delete BEFORE DELETE ON coupon_uses BEGIN SELECT RAISE(ABORT, 'what a coupon took off never changes'); END;

CREATE TABLE credit_entries (
  transaction_id VARCHAR NOT NULL,
  position INTEGER NOT NULL,
  account_id VARCHAR NOT NULL,
  amount_minor BIGINT NOT NULL,
  CONSTRAINT pk_credit_entries PRIMARY KEY (transaction_id, position),
  CONSTRAINT ck_credit_entries_moves_something CHECK (amount_minor <> 0),
  CONSTRAINT fk_credit_entries_transaction_id FOREIGN KEY(transaction_id) REFERENCES credit_transactions (id),
  CONSTRAINT fk_credit_entries_account_id FOREIGN KEY(account_id) REFERENCES credit_accounts (id)
);

CREATE INDEX ix_credit_entries_account_id ON credit_entries (account_id);

CREATE TRIGGER credit_entries_keep_insert BEFORE INSERT ON credit_entries WHEN EXISTS (SELECT 1 FROM credit_entries AS kept WHERE (kept.rowid = NEW.rowid OR kept.transaction_id = NEW.transaction_id AND kept.position = NEW.position)) BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TRIGGER credit_entries_keep_update BEFORE UPDATE ON credit_entries BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TRIGGER credit_entries_keep_delete BEFORE DELETE ON credit_entries BEGIN SELECT RAISE(ABORT, 'the ledger of credit never changes'); END;

CREATE TABLE limited_customers (
  customer_id VARCHAR NOT NULL,
  limit_id VARCHAR NOT NULL,
  CONSTRAINT pk_limited_customers PRIMARY KEY (customer_id, limit_id),
  CONSTRAINT fk_limited_customers_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id),
  CONSTRAINT fk_limited_customers_limit_id FOREIGN KEY(limit_id) REFERENCES entitlement_limits (id)
);

CREATE INDEX ix_limited_customers_limit_id ON limited_customers (limit_id);

CREATE TABLE billed_periods (
  id VARCHAR NOT NULL,
  subscription_id VARCHAR NOT NULL,
  term_id VARCHAR NOT NULL,
  phase_key VARCHAR NOT NULL,
  rate_card_key VARCHAR NOT NULL,
  period_start VARCHAR(27) NOT NULL,
  revision INTEGER NOT NULL,
  kind VARCHAR NOT NULL,
  plan_version_id VARCHAR NOT NULL,
  customer_id VARCHAR NOT NULL,
  period_end VARCHAR(27) NOT NULL,
  currency VARCHAR NOT NULL,
  quantity TEXT NOT NULL,
  event_count BIGINT NOT NULL,
  amount_minor BIGINT NOT NULL,
  proof JSON NOT NULL,
  invoice_id VARCHAR,
  billed_at VARCHAR(27) NOT NULL,
  waived_at VARCHAR(27),
  CONSTRAINT pk_billed_periods PRIMARY KEY (id),
  CONSTRAINT uq_billed_periods_subscription_id_term_id_phase_key_rate_card_key_period_start_revision UNIQUE (subscription_id, term_id, phase_key, rate_card_key, period_start, revision),
  CONSTRAINT fk_billed_periods_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (id),
  CONSTRAINT fk_billed_periods_term_id FOREIGN KEY(term_id) REFERENCES subscription_terms (id),
  CONSTRAINT fk_billed_periods_plan_version_id FOREIGN KEY(plan_version_id) REFERENCES plan_versions (id),
  CONSTRAINT fk_billed_periods_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id),
  CONSTRAINT fk_billed_periods_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id)
);

CREATE INDEX ix_billed_periods_customer_id_invoice_id ON billed_periods (customer_id, invoice_id);

CREATE INDEX ix_billed_periods_invoice_id ON billed_periods (invoice_id);

CREATE TRIGGER billed_periods_keep_insert BEFORE INSERT ON billed_periods WHEN EXISTS (SELECT 1 FROM billed_periods AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id OR kept.subscription_id = NEW.subscription_id AND kept.term_id = NEW.term_id AND kept.phase_key = NEW.phase_key AND kept.rate_card_key = NEW.rate_card_key AND kept.period_start = NEW.period_start AND kept.revision = NEW.revision)) BEGIN SELECT RAISE(ABORT, 'what was charged never changes'); END;

CREATE TRIGGER billed_periods_keep_update BEFORE UPDATE ON billed_periods WHEN NEW.id IS NOT OLD.id OR NEW.subscription_id IS NOT OLD.subscription_id OR NEW.term_id IS NOT OLD.term_id OR NEW.phase_key IS NOT OLD.phase_key OR NEW.rate_card_key IS NOT OLD.rate_card_key OR NEW.period_start IS NOT OLD.period_start OR NEW.revision IS NOT OLD.revision OR NEW.kind IS NOT OLD.kind OR NEW.plan_version_id IS NOT OLD.plan_version_id OR NEW.customer_id IS NOT OLD.customer_id OR NEW.period_end IS NOT OLD.period_end OR NEW.currency IS NOT OLD.currency OR NEW.quantity IS NOT OLD.quantity OR NEW.event_count IS NOT OLD.event_count OR NEW.amount_minor IS NOT OLD.amount_minor OR NEW.proof IS NOT OLD.proof OR NEW.billed_at IS NOT OLD.billed_at OR NEW.rowid <> OLD.rowid BEGIN SELECT RAISE(ABORT, 'what was charged never changes'); END;

CREATE TRIGGER billed_periods_keep_delete BEFORE DELETE ON billed_periods BEGIN SELECT RAISE(ABORT, 'what was charged never changes'); END;

CREATE TABLE forgotten_proofs (
  billed_period_id VARCHAR NOT NULL,
  act_id VARCHAR NOT NULL,
  digest VARCHAR NOT NULL,
  CONSTRAINT pk_forgotten_proofs PRIMARY KEY (billed_period_id, act_id),
  CONSTRAINT fk_forgotten_proofs_billed_period_id FOREIGN KEY(billed_period_id) REFERENCES billed_periods (id),
  CONSTRAINT fk_forgotten_proofs_act_id FOREIGN KEY(act_id) REFERENCES forgetting_acts (id)
);

CREATE TRIGGER forgotten_proofs_keep_insert BEFORE INSERT ON forgotten_proofs WHEN EXISTS (SELECT 1 FROM forgotten_proofs AS kept WHERE (kept.rowid = NEW.rowid OR kept.billed_period_id = NEW.billed_period_id AND kept.act_id = NEW.act_id)) BEGIN SELECT RAISE(ABORT, 'what forgetting left of a proof never changes'); END;

CREATE TRIGGER forgotten_proofs_keep_update BEFORE UPDATE ON forgotten_proofs BEGIN SELECT RAISE(ABORT, 'what forgetting left of a proof never changes'); END;

CREATE TRIGGER forgotten_proofs_keep_delete BEFORE DELETE ON forgotten_proofs BEGIN SELECT RAISE(ABORT, 'what forgetting left of a proof never changes'); END;

CREATE TABLE invoice_lines (
  id VARCHAR NOT NULL,
  invoice_id VARCHAR NOT NULL,
  position INTEGER NOT NULL,
  billed_period_id VARCHAR,
  customer_id VARCHAR NOT NULL,
  subscription_id VARCHAR,
  plan_version_id VARCHAR,
  rate_card_key VARCHAR,
  kind VARCHAR NOT NULL,
  description VARCHAR NOT NULL,
  quantity TEXT NOT NULL,
  unit_price TEXT,
  amount_minor BIGINT NOT NULL,
  period_start VARCHAR(27) NOT NULL,
  period_end VARCHAR(27) NOT NULL,
  proof JSON NOT NULL,
  CONSTRAINT pk_invoice_lines PRIMARY KEY (id),
  CONSTRAINT uq_invoice_lines_invoice_id_position UNIQUE (invoice_id, position),
  CONSTRAINT ck_invoice_lines_charged_or_of_a_step CHECK ((kind IN ('prepaid_credit', 'coupon', 'coupon_return', 'tax', 'top_up')) = (billed_period_id IS NULL)),
  CONSTRAINT fk_invoice_lines_invoice_id FOREIGN KEY(invoice_id) REFERENCES invoices (id),
  CONSTRAINT fk_invoice_lines_billed_period_id FOREIGN KEY(billed_period_id) REFERENCES billed_periods (id),
  CONSTRAINT fk_invoice_lines_customer_id FOREIGN KEY(customer_id) REFERENCES customers (id),
  CONSTRAINT fk_invoice_lines_subscription_id FOREIGN KEY(subscription_id) REFERENCES subscriptions (id),
  CONSTRAINT fk_invoice_lines_plan_version_id FOREIGN KEY(plan_version_id) REFERENCES plan_versions (id)
);

CREATE INDEX ix_invoice_lines_billed_period_id ON invoice_lines (billed_period_id);

CREATE TRIGGER invoice_lines_keep_insert BEFORE INSERT ON invoice_lines WHEN ((SELECT status FROM invoices WHERE id = NEW.invoice_id) <> 'draft') OR EXISTS (SELECT 1 FROM invoice_lines AS kept WHERE (kept.rowid = NEW.rowid OR kept.id = NEW.id OR kept.invoice_id = NEW.invoice_id AND kept.position = NEW.position) AND ((SELECT status FROM invoices WHERE id = kept.invoice_id) <> 'draft')) BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END;

CREATE TRIGGER invoice_lines_keep_update BEFORE UPDATE ON invoice_lines WHEN ((SELECT status FROM invoices WHERE id = OLD.invoice_id) <> 'draft') OR ((SELECT status FROM invoices WHERE id = NEW.invoice_id) <> 'draft') OR NEW.rowid <> OLD.rowid OR EXISTS (SELECT 1 FROM invoice_lines AS kept WHERE (kept.id = NEW.id OR kept.invoice_id = NEW.invoice_id AND kept.position = NEW.position) AND ((SELECT status FROM invoices WHERE id = kept.invoice_id) <> 'draft') AND kept.rowid <> OLD.rowid) BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END;

CREATE TRIGGER invoice_lines_keep_delete BEFORE DELETE ON invoice_lines WHEN (SELECT status FROM invoices WHERE id = OLD.invoice_id) <> 'draft' BEGIN SELECT RAISE(ABORT, 'an issued invoice never changes'); END;

CREATE TABLE credit_note_lines (
  credit_note_id VARCHAR NOT NULL,
  position INTEGER NOT NULL,
  invoice_line_id VARCHAR,
  description VARCHAR NOT NULL,
  amount_minor BIGINT NOT NULL,
  CONSTRAINT pk_credit_note_lines PRIMARY KEY (credit_note_id, position),
  CONSTRAINT ck_credit_note_lines_amount_is_positive CHECK (amount_minor > 0),
  CONSTRAINT fk_credit_note_lines_credit_note_id FOREIGN KEY(credit_note_id) REFERENCES credit_notes (id),
  CONSTRAINT fk_credit_note_lines_invoice_line_id FOREIGN KEY(invoice_line_id) REFERENCES invoice_lines (id)
);

CREATE INDEX ix_credit_note_lines_invoice_line_id ON credit_note_lines (invoice_line_id);

CREATE TRIGGER credit_note_lines_keep_insert BEFORE INSERT ON credit_note_lines WHEN EXISTS (SELECT 1 FROM credit_note_lines AS kept WHERE (kept.rowid = NEW.rowid OR kept.credit_note_id = NEW.credit_note_id AND kept.position = NEW.position)) BEGIN SELECT RAISE(ABORT, 'an issued credit note never changes'); END;

CREATE TRIGGER credit_note_lines_keep_update BEFORE UPDATE ON credit_note_lines BEGIN SELECT RAISE(ABORT, 'an issued credit note never changes'); END;

CREATE TRIGGER credit_note_lines_keep_delete BEFORE DELETE ON credit_note_lines BEGIN SELECT RAISE(ABORT, 'an issued credit note never changes'); END;
