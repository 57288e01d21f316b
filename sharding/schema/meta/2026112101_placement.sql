CREATE TABLE meta_state (
  id          INT          NOT NULL,
  cluster_id  VARBINARY(32) NOT NULL,
  secret      VARBINARY(64) NOT NULL,
  buckets     INT          NOT NULL,
  shards      INT          NOT NULL,
  placement   VARBINARY(4000) NOT NULL,
  ready       INT          NOT NULL,
  created_ms  BIGINT       NOT NULL,
  PRIMARY KEY (id)
) {table};
CREATE TABLE shard (
  shard         INT           NOT NULL,
  database_name VARBINARY(64) NOT NULL,
  schema_name   VARBINARY(64) NOT NULL,
  epoch_seen    BIGINT        NOT NULL,
  PRIMARY KEY (shard)
) {table};
CREATE TABLE bucket_map (
  bucket INT    NOT NULL,
  shard  INT    NOT NULL,
  epoch  BIGINT NOT NULL,
  PRIMARY KEY (bucket)
) {table};
CREATE TABLE sequence (
  name VARBINARY(64) NOT NULL,
  next BIGINT        NOT NULL,
  PRIMARY KEY (name)
) {table};
CREATE TABLE job (
  name        VARBINARY(190) NOT NULL,
  holder      VARBINARY(190) NOT NULL,
  lease_until BIGINT         NOT NULL,
  checkpoint  VARBINARY(8000) NOT NULL,
  updated_ms  BIGINT         NOT NULL,
  PRIMARY KEY (name)
) {table};
