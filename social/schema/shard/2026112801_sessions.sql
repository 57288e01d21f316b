DELETE FROM session WHERE (bucket, user_id, session_id) IN (
  SELECT bucket, user_id, session_id FROM (
    SELECT bucket, user_id, session_id,
      ROW_NUMBER() OVER (PARTITION BY bucket, user_id ORDER BY created_ms DESC, session_id) AS place
    FROM session) AS ranked
  WHERE place > 1000);
DELETE FROM session WHERE (bucket, user_id, session_id) IN (
  SELECT bucket, user_id, session_id FROM (
    SELECT bucket, user_id, session_id,
      ROW_NUMBER() OVER (PARTITION BY bucket, user_id ORDER BY last_used_ms DESC, created_ms DESC, session_id) AS place
    FROM session) AS ranked
  WHERE place > 100);
UPDATE shard_state SET cache_epoch = cache_epoch + 1;
