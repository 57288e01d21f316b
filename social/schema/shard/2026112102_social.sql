CREATE TABLE user_info (
  bucket        INT            NOT NULL,
  user_id       BIGINT         NOT NULL,
  name          VARCHAR(64)    NOT NULL,
  display_name  VARCHAR(200)   NOT NULL,
  bio           VARCHAR(2000)  NOT NULL,
  password_hash VARCHAR(255)   NOT NULL,
  state         INT            NOT NULL,
  msg_count     BIGINT         NOT NULL,
  message_count BIGINT         NOT NULL,
  follow_count  BIGINT         NOT NULL,
  fans_count    BIGINT         NOT NULL,
  clock         BIGINT         NOT NULL,
  last_time_ms  BIGINT         NOT NULL,
  created_ms    BIGINT         NOT NULL,
  PRIMARY KEY (bucket, user_id)
) {table};
CREATE TABLE user_name (
  bucket     INT            NOT NULL,
  name       VARBINARY(400) NOT NULL,
  user_id    BIGINT         NOT NULL,
  created_ms BIGINT         NOT NULL,
  PRIMARY KEY (bucket, name)
) {table};
CREATE TABLE user_relation (
  bucket       INT    NOT NULL,
  user_id      BIGINT NOT NULL,
  kind         INT    NOT NULL,
  other_id     BIGINT NOT NULL,
  state        INT    NOT NULL,
  rev          BIGINT NOT NULL,
  since_clock  BIGINT NOT NULL,
  from_msg_id  BIGINT NOT NULL,
  until_msg_id BIGINT NOT NULL,
  PRIMARY KEY (bucket, user_id, kind, other_id)
) {table};
CREATE INDEX user_relation_newest ON user_relation (bucket, user_id, kind, state, rev, other_id);
CREATE TABLE session (
  bucket       INT           NOT NULL,
  user_id      BIGINT        NOT NULL,
  session_id   VARBINARY(32) NOT NULL,
  token_hash   VARBINARY(32) NOT NULL,
  created_ms   BIGINT        NOT NULL,
  last_used_ms BIGINT        NOT NULL,
  expires_ms   BIGINT        NOT NULL,
  PRIMARY KEY (bucket, user_id, session_id)
) {table};
CREATE TABLE msg_info (
  bucket            INT        NOT NULL,
  user_id           BIGINT     NOT NULL,
  msg_id            BIGINT     NOT NULL,
  kind              INT        NOT NULL,
  state             INT        NOT NULL,
  visibility        INT        NOT NULL,
  root_visibility   INT        NOT NULL,
  clock             BIGINT     NOT NULL,
  time_ms           BIGINT     NOT NULL,
  parent_id         BIGINT     NOT NULL,
  parent_msg_id     BIGINT     NOT NULL,
  origin_id         BIGINT     NOT NULL,
  origin_msg_id     BIGINT     NOT NULL,
  content           MEDIUMTEXT NOT NULL,
  commented_count   BIGINT     NOT NULL,
  transferred_count BIGINT     NOT NULL,
  comment_count     BIGINT     NOT NULL,
  transfer_count    BIGINT     NOT NULL,
  like_count        BIGINT     NOT NULL,
  PRIMARY KEY (bucket, user_id, msg_id)
) {table};
CREATE TABLE msg_index (
  bucket    INT    NOT NULL,
  user_id   BIGINT NOT NULL,
  time_ms   BIGINT NOT NULL,
  author_id BIGINT NOT NULL,
  msg_id    BIGINT NOT NULL,
  rev       BIGINT NOT NULL,
  state     INT    NOT NULL,
  kind      INT    NOT NULL,
  limited   INT    NOT NULL,
  PRIMARY KEY (bucket, user_id, time_ms, author_id, msg_id)
) {table};
CREATE TABLE msg_msg_relation (
  bucket            INT    NOT NULL,
  referenced_id     BIGINT NOT NULL,
  referenced_msg_id BIGINT NOT NULL,
  kind              INT    NOT NULL,
  reference_id      BIGINT NOT NULL,
  reference_msg_id  BIGINT NOT NULL,
  state             INT    NOT NULL,
  rev               BIGINT NOT NULL,
  seq               BIGINT NOT NULL,
  time_ms           BIGINT NOT NULL,
  PRIMARY KEY (bucket, referenced_id, referenced_msg_id, kind, reference_id, reference_msg_id)
) {table};
CREATE INDEX msg_msg_relation_seq ON msg_msg_relation (bucket, referenced_id, referenced_msg_id, kind, seq);
CREATE INDEX msg_msg_relation_time ON msg_msg_relation (bucket, referenced_id, referenced_msg_id, kind, time_ms, reference_id, reference_msg_id);
CREATE TABLE user_repost (
  bucket            INT    NOT NULL,
  user_id           BIGINT NOT NULL,
  referenced_id     BIGINT NOT NULL,
  referenced_msg_id BIGINT NOT NULL,
  msg_id            BIGINT NOT NULL,
  state             INT    NOT NULL,
  PRIMARY KEY (bucket, user_id, referenced_id, referenced_msg_id)
) {table};
CREATE TABLE outbox (
  bucket     INT            NOT NULL,
  user_id    BIGINT         NOT NULL,
  event_id   BIGINT         NOT NULL,
  kind       INT            NOT NULL,
  target     BIGINT         NOT NULL,
  due_ms     BIGINT         NOT NULL,
  attempts   INT            NOT NULL,
  created_ms BIGINT         NOT NULL,
  payload    MEDIUMTEXT     NOT NULL,
  progress   MEDIUMTEXT     NOT NULL,
  PRIMARY KEY (bucket, user_id, event_id)
) {table};
CREATE INDEX outbox_due ON outbox (due_ms);
CREATE TABLE idempotency (
  bucket     INT            NOT NULL,
  user_id    BIGINT         NOT NULL,
  key_hash   VARBINARY(32)  NOT NULL,
  use_hash   VARBINARY(32)  NOT NULL,
  status     INT            NOT NULL,
  answer     MEDIUMTEXT     NOT NULL,
  msg_id     BIGINT         NOT NULL,
  created_ms BIGINT         NOT NULL,
  PRIMARY KEY (bucket, user_id, key_hash)
) {table};
CREATE TABLE import_key (
  bucket      INT            NOT NULL,
  user_id     BIGINT         NOT NULL,
  source      VARBINARY(100) NOT NULL,
  external_id VARBINARY(100) NOT NULL,
  msg_id      BIGINT         NOT NULL,
  PRIMARY KEY (bucket, user_id, source, external_id)
) {table};
