package sharding

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"net/url"
	"path/filepath"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/gofrs/flock"
	"golang.org/x/sync/semaphore"
	_ "modernc.org/sqlite" // the embedded engine
)

// DatabaseOptions names one MySQL or MariaDB server.
type DatabaseOptions struct {
	DSN      string // without a schema
	MaxConns int    // connections that this process may use on this server at once, over all its shards
}

// pool is one schema's connections: on MySQL one pool inside the server's budget, on SQLite one writer and some readers.
type pool struct {
	where   string
	dialect Dialect
	write   *sql.DB
	read    *sql.DB
	budget  *semaphore.Weighted // the server's; nil on SQLite
	queue   *semaphore.Weighted // SQLite: the file's one writer, first come first served
	turn    *flock.Flock        // SQLite: held by the process that waits for the file, so that others let it in
}

func (p *pool) close() error {
	if p.read != p.write {
		_ = p.read.Close()
	}
	return p.write.Close()
}

// server is one MySQL server: its DSN and the budget that its pools share.
type server struct {
	name   string
	cfg    *mysql.Config
	max    int
	budget *semaphore.Weighted
}

func newServer(name string, o DatabaseOptions) (*server, error) {
	cfg, err := mysql.ParseDSN(o.DSN)
	if err != nil {
		return nil, fmt.Errorf("databases.%s.dsn: %w", name, err)
	}
	cfg.InterpolateParams = true
	cfg.ClientFoundRows = true
	cfg.RejectReadOnly = true
	cfg.CheckConnLiveness = true
	cfg.ParseTime = true // goose reads its own table's timestamps; the domain's times are integers
	cfg.Loc = time.UTC
	cfg.Collation = "utf8mb4_bin"
	if cfg.Timeout == 0 {
		cfg.Timeout = 2 * time.Second
	}
	if cfg.ReadTimeout == 0 {
		cfg.ReadTimeout = 30 * time.Second
	}
	if cfg.WriteTimeout == 0 {
		cfg.WriteTimeout = 30 * time.Second
	}
	if o.MaxConns <= 0 {
		o.MaxConns = 64
	}
	return &server{name: name, cfg: cfg, max: o.MaxConns, budget: semaphore.NewWeighted(int64(o.MaxConns))}, nil
}

// sessionSQL is set on every connection. READ COMMITTED: at REPEATABLE READ a FOR UPDATE on a missing row takes a gap
// lock and nearly livelocks. The IN threshold is MariaDB's: at its default an IN of 1,000 becomes a full scan.
var sessionSQL = []string{
	"SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
	"SET SESSION sql_mode = 'STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION'",
	"SET SESSION time_zone = '+00:00'",
	"SET SESSION innodb_lock_wait_timeout = 3",
}

var mariaSQL = []string{"SET SESSION in_predicate_conversion_threshold = 0"}

// sessionConnector prepares each new connection's session.
type sessionConnector struct {
	driver.Connector
}

func (c sessionConnector) Connect(ctx context.Context) (driver.Conn, error) {
	conn, err := c.Connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	exec := conn.(driver.ExecerContext)
	for _, q := range sessionSQL {
		if _, err := exec.ExecContext(ctx, q, nil); err != nil {
			_ = conn.Close()
			return nil, fmt.Errorf("%s: %w", q, err)
		}
	}
	for _, q := range mariaSQL {
		if _, err := exec.ExecContext(ctx, q, nil); err != nil && !unknownVariable(err) {
			_ = conn.Close()
			return nil, fmt.Errorf("%s: %w", q, err)
		}
	}
	return conn, nil
}

func unknownVariable(err error) bool {
	my, ok := err.(*mysql.MySQLError)
	return ok && my.Number == 1193
}

// open makes the pool of one schema; it does not connect. schema "" is the server itself.
func (s *server) open(schema string, idle int) *pool {
	cfg := s.cfg.Clone()
	cfg.DBName = schema
	connector, err := mysql.NewConnector(cfg)
	if err != nil { // the DSN was parsed already; only a bad TLS name can get here
		connector, _ = mysql.NewConnector(s.cfg)
	}
	db := sql.OpenDB(sessionConnector{connector})
	db.SetMaxOpenConns(s.max)
	db.SetMaxIdleConns(max(2, idle))
	db.SetConnMaxLifetime(3 * time.Minute)
	return &pool{where: s.name + "/" + schema, dialect: MySQL, write: db, read: db, budget: s.budget}
}

// openSQLite opens one file of the embedded folder. synchronous=FULL: an acknowledged write survives a power cut.
func openSQLite(dir, schema string) (*pool, error) {
	file := filepath.Join(dir, schema+".db")
	dsn := func(readOnly bool) string {
		q := url.Values{}
		if readOnly {
			q.Add("_pragma", "busy_timeout(10000)")
		} else {
			q.Add("_pragma", "busy_timeout(5)") // begin waits in its own, fairer way
		}
		q.Add("_pragma", "journal_mode(WAL)")
		q.Add("_pragma", "synchronous(FULL)")
		q.Add("_pragma", "cache_size(-8000)")
		if readOnly {
			q.Add("_pragma", "query_only(1)")
		} else {
			q.Set("_txlock", "immediate")
		}
		return "file:" + (&url.URL{Path: filepath.ToSlash(file)}).EscapedPath() + "?" + q.Encode()
	}
	write, err := sql.Open("sqlite", dsn(false))
	if err != nil {
		return nil, err
	}
	read, err := sql.Open("sqlite", dsn(true))
	if err != nil {
		_ = write.Close()
		return nil, err
	}
	write.SetMaxOpenConns(1)
	write.SetMaxIdleConns(1)
	read.SetMaxOpenConns(8)
	read.SetMaxIdleConns(4)
	return &pool{where: schema, dialect: SQLite, write: write, read: read, queue: semaphore.NewWeighted(1),
		turn: flock.New(filepath.Join(dir, "."+schema+".turn"))}, nil
}

// acquireWrite waits for a connection of the server's budget, or for the file's turn.
func (p *pool) acquireWrite(ctx context.Context) (func(), error) {
	return acquire(ctx, p.budget, p.queue)
}

func (p *pool) acquireRead(ctx context.Context) (func(), error) {
	return acquire(ctx, p.budget, nil)
}

func acquire(ctx context.Context, sems ...*semaphore.Weighted) (func(), error) {
	var held []*semaphore.Weighted
	for _, s := range sems {
		if s == nil {
			continue
		}
		if err := s.Acquire(ctx, 1); err != nil {
			for _, h := range held {
				h.Release(1)
			}
			return nil, err
		}
		held = append(held, s)
	}
	return func() {
		for _, h := range held {
			h.Release(1)
		}
	}, nil
}

// How a process waits for a SQLite file that another one is writing.
const (
	turnPoll     = time.Millisecond
	turnPatience = 10 * time.Second
)

// begin starts a write transaction, and returns what to call when it has ended. SQLite's own busy wait is not fair: a
// process that writes without pause would keep another out for many seconds. So whoever finds the file busy takes the
// turn, and nobody begins while somebody of another process holds it.
func (p *pool) begin(ctx context.Context) (*sql.Tx, func(), error) {
	if p.turn == nil {
		tx, err := p.write.BeginTx(ctx, nil)
		return tx, func() {}, err
	}
	wait, cancel := context.WithTimeout(ctx, turnPatience)
	defer cancel()
	if ok, err := p.turn.TryRLockContext(wait, turnPoll); err != nil || !ok {
		return nil, nil, fmt.Errorf("wait for another process's turn: %w", err)
	}
	_ = p.turn.Unlock()
	tx, err := p.write.BeginTx(ctx, nil)
	if err == nil || !retryable(err) {
		return tx, func() {}, err
	}
	if ok, err := p.turn.TryLockContext(wait, turnPoll); err != nil || !ok {
		return nil, nil, fmt.Errorf("wait for the turn: %w", err)
	}
	for {
		if tx, err = p.write.BeginTx(ctx, nil); err == nil || !retryable(err) || wait.Err() != nil {
			break
		}
		if err := sleep(wait, turnPoll); err != nil {
			break
		}
	}
	if err != nil {
		_ = p.turn.Unlock()
		return nil, nil, err
	}
	return tx, func() { _ = p.turn.Unlock() }, nil
}
