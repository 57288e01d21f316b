package sharding

import "database/sql"

// RawForTest is the shard's connections without any bracket. It is for tests that look at rows, or break them.
func (c *Cluster) RawForTest(s *Shard) *sql.DB { return s.pool.write }
