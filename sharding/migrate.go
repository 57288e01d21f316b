package sharding

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
	"github.com/pressly/goose/v3"
)

//go:embed schema/meta/*.sql schema/shard/*.sql
var ownSchema embed.FS

// SchemaVersion is one database's place in the list of schema versions.
type SchemaVersion struct {
	Where            string // "meta" or the shard
	Current, Pending int64  // the version in force; how many are still to come
	Latest           int64  // the newest that this program knows
}

// ErrNewerSchema says that a database was migrated by a newer program than this one.
var ErrNewerSchema = errors.New("the database is newer than this program: use the newer socialctl")

// migrations reads the numbered .sql files of both owners: 2026112101_name.sql is version 2026112101.
func migrations(dialect Dialect, sets ...fs.FS) ([]*goose.Migration, error) {
	var out []*goose.Migration
	for _, set := range sets {
		if set == nil {
			continue
		}
		files, err := fs.Glob(set, "*.sql")
		if err != nil {
			return nil, err
		}
		sort.Strings(files)
		for _, name := range files {
			number, _, _ := strings.Cut(name, "_")
			version, err := strconv.ParseInt(number, 10, 64)
			if err != nil {
				return nil, fmt.Errorf("schema file %s: %w", name, err)
			}
			text, err := fs.ReadFile(set, name)
			if err != nil {
				return nil, err
			}
			out = append(out, goose.NewGoMigration(version, &goose.GoFunc{RunTx: applySQL(dialect, string(text))}, nil))
		}
	}
	return out, nil
}

// applySQL runs a file's statements. What exists already is passed over: DDL is not transactional on MySQL, and a
// migration that was killed half-way must be able to run again.
func applySQL(dialect Dialect, text string) func(context.Context, *sql.Tx) error {
	return func(ctx context.Context, tx *sql.Tx) error {
		for statement := range strings.SplitSeq(text, ";\n") {
			statement = strings.TrimSpace(statement)
			if statement == "" {
				continue
			}
			if _, err := tx.ExecContext(ctx, dialect.expand(statement)); err != nil && !alreadyThere(err) {
				return fmt.Errorf("%s: %w", strings.SplitN(statement, "\n", 2)[0], err)
			}
		}
		return nil
	}
}

func alreadyThere(err error) bool {
	var my *mysql.MySQLError
	return errors.As(err, &my) && (my.Number == 1050 || my.Number == 1060 || my.Number == 1061)
}

func (p *pool) provider(o Options, meta bool) (*goose.Provider, error) {
	dir, domain := "schema/shard", o.Shard
	if meta {
		dir, domain = "schema/meta", o.Meta
	}
	own, err := fs.Sub(ownSchema, dir)
	if err != nil {
		return nil, err
	}
	list, err := migrations(p.dialect, own, domain)
	if err != nil {
		return nil, err
	}
	dialect := goose.DialectMySQL
	if p.dialect.sqlite {
		dialect = goose.DialectSQLite3
	}
	return goose.NewProvider(dialect, p.write, nil, goose.WithGoMigrations(list...),
		goose.WithDisableGlobalRegistry(true), goose.WithAllowOutofOrder(true), goose.WithTableName("schema_version"))
}

func (p *pool) version(ctx context.Context, o Options, meta bool) (SchemaVersion, error) {
	v := SchemaVersion{Where: p.where}
	provider, err := p.provider(o, meta)
	if err != nil {
		return v, err
	}
	sources := provider.ListSources()
	v.Latest = sources[len(sources)-1].Version
	if v.Current, err = p.current(ctx); err != nil {
		return v, err
	}
	if v.Current > v.Latest {
		return v, fmt.Errorf("%s is at version %d, this program knows %d: %w", p.where, v.Current, v.Latest, ErrNewerSchema)
	}
	if v.Current == 0 {
		v.Pending = int64(len(sources))
		return v, nil
	}
	status, err := provider.Status(ctx)
	if err != nil {
		return v, p.wrap(err)
	}
	for _, m := range status {
		if m.State == goose.StatePending {
			v.Pending++
		}
	}
	return v, nil
}

// current reads the version in force without creating anything; 0 for an empty database.
func (p *pool) current(ctx context.Context) (int64, error) {
	var v sql.NullInt64
	err := p.read.QueryRowContext(ctx, `SELECT MAX(version_id) FROM schema_version WHERE is_applied = 1`).Scan(&v)
	if err != nil && !missing(err) {
		return 0, p.wrap(err)
	}
	return v.Int64, nil
}

// missing reports whether the error is an absent row, table or database.
func missing(err error) bool {
	if errors.Is(err, sql.ErrNoRows) || strings.Contains(err.Error(), "no such table") || strings.Contains(err.Error(), "unable to open database file") {
		return true
	}
	var my *mysql.MySQLError
	return errors.As(err, &my) && (my.Number == 1146 || my.Number == 1049)
}

func (p *pool) migrate(ctx context.Context, o Options, meta bool) error {
	provider, err := p.provider(o, meta)
	if err != nil {
		return err
	}
	if _, err := provider.Up(ctx); err != nil {
		return p.wrap(fmt.Errorf("migrate %s: %w", p.where, err))
	}
	return nil
}

// Migrate brings meta and every shard of an initialised cluster up to date, and returns what it found before. With
// dryRun it only looks. Errors: ErrNewerSchema, ErrNotInitialised, UnavailableError.
func Migrate(ctx context.Context, o Options, dryRun bool) ([]SchemaVersion, error) {
	c, err := connect(o)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	unlock, err := c.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer unlock()
	found, err := c.versions(ctx)
	if err != nil || dryRun {
		return found, err
	}
	if err := c.meta.migrate(ctx, c.options, true); err != nil {
		return found, err
	}
	for _, s := range c.shards {
		if err := s.pool.migrate(ctx, c.options, false); err != nil {
			return found, err
		}
	}
	return found, nil
}

// versions checks every database before the first is touched.
func (c *Cluster) versions(ctx context.Context) ([]SchemaVersion, error) {
	v, err := c.meta.version(ctx, c.options, true)
	if err != nil {
		return nil, err
	}
	v.Where = "meta (" + v.Where + ")"
	found := []SchemaVersion{v}
	if err := c.load(ctx); err != nil {
		return found, err
	}
	for _, s := range c.shards {
		v, err := s.pool.version(ctx, c.options, false)
		if err != nil {
			return found, err
		}
		v.Where = s.String()
		found = append(found, v)
	}
	return found, nil
}

// CheckSchema returns the schema versions of an open cluster; an error is ErrNewerSchema or UnavailableError.
func (c *Cluster) CheckSchema(ctx context.Context) ([]SchemaVersion, error) {
	v, err := c.meta.version(ctx, c.options, true)
	if err != nil {
		return nil, err
	}
	v.Where = "meta (" + v.Where + ")"
	found := []SchemaVersion{v}
	for _, s := range c.shards {
		v, err := s.pool.version(ctx, c.options, false)
		if err != nil {
			return found, err
		}
		v.Where = s.String()
		found = append(found, v)
	}
	return found, nil
}

const lockPatience = 30 * time.Second
