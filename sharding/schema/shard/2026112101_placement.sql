CREATE TABLE shard_state (
  id          INT           NOT NULL,
  shard       INT           NOT NULL,
  cluster_id  VARBINARY(32) NOT NULL,
  epoch       BIGINT        NOT NULL,
  cache_epoch BIGINT        NOT NULL,
  PRIMARY KEY (id)
) {table};
CREATE TABLE bucket_state (
  bucket             INT    NOT NULL,
  state              INT    NOT NULL,
  journal            INT    NOT NULL,
  move_id            BIGINT NOT NULL,
  token              BIGINT NOT NULL,
  successor          INT    NOT NULL,
  archive_bound      BIGINT NOT NULL,
  archive_checkpoint VARBINARY(1000) NOT NULL,
  archive_generation BIGINT NOT NULL,
  PRIMARY KEY (bucket)
) {table};
CREATE TABLE journal (
  bucket  INT            NOT NULL,
  tbl     VARBINARY(64)  NOT NULL,
  pk      VARBINARY(700) NOT NULL,
  version BIGINT         NOT NULL,
  PRIMARY KEY (bucket, tbl, pk)
) {table};
