package sharding

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// PoolStats is how the connections of this process to one database are used.
type PoolStats struct {
	Shard  string // the shard's number, or "meta"
	Where  string // the schema and its server
	Open   int    // connections, in use or idle
	InUse  int
	Idle   int
	Waits  int64         // times that a connection had to be waited for, since the start
	Waited time.Duration // how long, over all waits
}

// Pools returns the use of every pool: meta first, then the shards in order. A wait for the budget of a server, or for
// the turn at a SQLite file, comes before a connection is asked for and is not among the waits.
func (c *Cluster) Pools() []PoolStats {
	out := []PoolStats{c.meta.stats("meta")}
	for _, s := range c.shards {
		out = append(out, s.pool.stats(strconv.Itoa(int(s.id))))
	}
	return out
}

func (p *pool) stats(shard string) PoolStats {
	all := []sql.DBStats{p.write.Stats()}
	if p.read != p.write {
		all = append(all, p.read.Stats())
	}
	out := PoolStats{Shard: shard, Where: p.where}
	for _, s := range all {
		out.Open += s.OpenConnections
		out.InUse += s.InUse
		out.Idle += s.Idle
		out.Waits += s.WaitCount
		out.Waited += s.WaitDuration
	}
	return out
}

// ServerFacts is what a MySQL or MariaDB server says of itself.
type ServerFacts struct {
	Version   string
	Variables map[string]string // global variables, by name; those that the server does not know are absent
	SQLMode   string            // of a session as this program opens it
	ClockDiff time.Duration     // the server's clock less this machine's, exact to half of RoundTrip
	RoundTrip time.Duration
}

// serverVariables are those by which an operator can tell whether an acknowledged write survives a power cut, and
// whether the server has room for this program.
var serverVariables = []string{"sql_mode", "innodb_flush_log_at_trx_commit", "sync_binlog", "log_bin", "character_set_server",
	"collation_server", "max_connections", "max_allowed_packet", "read_only", "transaction_isolation", "tx_isolation"}

// ProbeServer connects to one server by itself, as every pool does, and asks what it is. The error is an
// UnavailableError when it cannot be reached, and otherwise what it refuses, such as the password.
func ProbeServer(ctx context.Context, name string, o DatabaseOptions) (ServerFacts, error) {
	s, err := newServer(name, o)
	if err != nil {
		return ServerFacts{}, err
	}
	p := s.open("", 1)
	defer func() { _ = p.close() }()
	facts, err := p.facts(ctx)
	return facts, p.wrap(err)
}

func (p *pool) facts(ctx context.Context) (ServerFacts, error) {
	f := ServerFacts{Variables: map[string]string{}}
	conn, err := p.read.Conn(ctx)
	if err != nil {
		return f, err
	}
	defer func() { _ = conn.Close() }()
	var seconds string
	asked := time.Now()
	if err := conn.QueryRowContext(ctx, `SELECT UNIX_TIMESTAMP(NOW(6))`).Scan(&seconds); err != nil {
		return f, err
	}
	f.RoundTrip = time.Since(asked)
	server, err := strconv.ParseFloat(seconds, 64)
	if err != nil {
		return f, fmt.Errorf("the server's time: %w", err)
	}
	f.ClockDiff = time.UnixMicro(int64(server * 1e6)).Sub(asked.Add(f.RoundTrip / 2))
	if err := conn.QueryRowContext(ctx, `SELECT VERSION(), @@SESSION.sql_mode`).Scan(&f.Version, &f.SQLMode); err != nil {
		return f, err
	}
	list := "'" + strings.Join(serverVariables, "', '") + "'"
	rows, err := conn.QueryContext(ctx, `SHOW GLOBAL VARIABLES WHERE Variable_name IN (`+list+`)`)
	if err != nil {
		return f, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var name, value string
		if err := rows.Scan(&name, &value); err != nil {
			return f, err
		}
		f.Variables[strings.ToLower(name)] = value
	}
	return f, rows.Err()
}
