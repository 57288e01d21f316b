// Package shardingtest gives tests a configuration of their own: an embedded data folder, or fresh schemas on the real
// servers. It promises that nothing is left behind and that an absent server fails a test and never skips it.
package shardingtest

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	_ "github.com/go-sql-driver/mysql" // to drop what a test made

	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/social/schema"
)

// Profile is one of the two ways to run: the same test runs on both.
type Profile struct {
	Name    string
	Cluster bool
	make    func(t testing.TB) configs.Config
}

// Config returns a configuration of the profile that no other test shares; shards are initialised.
func (p Profile) Config(t testing.TB) configs.Config { return p.make(t) }

// Profiles lists the embedded default and the real servers. With -short it lists the embedded one alone.
func Profiles() []Profile {
	if testing.Short() {
		return []Profile{Embedded()}
	}
	return []Profile{Embedded(), Cluster()}
}

// Embedded is a fresh data folder of four small shards.
func Embedded() Profile {
	return Profile{Name: "embedded", make: func(t testing.TB) configs.Config {
		cfg := base()
		cfg.Data = t.TempDir()
		return cfg
	}}
}

// Cluster is four shards on two MariaDB servers with Redis.
func Cluster() Profile { return Profile{Name: "cluster", Cluster: true, make: clusterConfig} }

func base() configs.Config {
	cfg := configs.Default()
	cfg.HTTP.Addr, cfg.HTTP.MetricsAddr = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Limits.Enabled = false
	cfg.Embedded.Buckets = 64
	return cfg
}

var counter atomic.Int64

func clusterConfig(t testing.TB) configs.Config {
	t.Helper()
	cfg := base()
	cfg.Data = t.TempDir()
	a, b := Service(t, "SOCIALCTL_TEST_MYSQL_A"), Service(t, "SOCIALCTL_TEST_MYSQL_B")
	cfg.Databases = map[string]configs.Database{"a": {DSN: a, MaxConns: 32}, "b": {DSN: b, MaxConns: 32}}
	prefix := fmt.Sprintf("t%d_%d", os.Getpid(), counter.Add(1))
	cfg.Meta = configs.Meta{Database: "a", Schema: prefix + "_meta"}
	cfg.Redis = configs.Redis{Addrs: []string{Service(t, "SOCIALCTL_TEST_REDIS")}}
	t.Cleanup(func() {
		Drop(t, a, prefix)
		Drop(t, b, prefix)
	})
	options := sharding.Options{MetaDatabase: "a", MetaSchema: cfg.Meta.Schema, Shard: schema.Shard(),
		Databases: map[string]sharding.DatabaseOptions{"a": {DSN: a}, "b": {DSN: b}}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if _, err := sharding.Init(ctx, options, sharding.Plan{Shards: 4, Buckets: 64, Databases: []string{"a", "b"}}); err != nil {
		t.Fatalf("make four shards on two servers: %v", err)
	}
	return cfg
}

// Drop takes away every schema of that prefix.
func Drop(t testing.TB, dsn, prefix string) {
	t.Helper()
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		t.Errorf("drop schemas: %v", err)
		return
	}
	defer func() { _ = db.Close() }()
	rows, err := db.Query(`SELECT schema_name FROM information_schema.schemata WHERE schema_name LIKE ?`, strings.ReplaceAll(prefix, "_", `\_`)+`\_%`)
	if err != nil {
		t.Errorf("drop schemas: %v", err)
		return
	}
	var names []string
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err == nil {
			names = append(names, name)
		}
	}
	_ = rows.Close()
	for _, name := range names {
		if _, err := db.Exec("DROP DATABASE `" + name + "`"); err != nil {
			t.Errorf("drop %s: %v", name, err)
		}
	}
}

// Service returns the address of a real server from the environment or from what `make services` wrote. Where there is
// none the test fails and says what to do.
func Service(t testing.TB, name string) string {
	t.Helper()
	if v := os.Getenv(name); v != "" {
		return v
	}
	file := filepath.Join(Root(t), ".services", "env")
	f, err := os.Open(file)
	if err != nil {
		t.Fatalf("%s is not set and no servers have been started: run `make services`, or set it, or test with -short", name)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), name+"="); ok {
			return v
		}
	}
	t.Fatalf("%s is not in .services/env: run `make services`", name)
	return ""
}

// Root is the folder of go.mod.
func Root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		up := filepath.Dir(dir)
		if up == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = up
	}
}
