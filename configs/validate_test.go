package configs

import (
	"strings"
	"testing"
	"time"
)

func TestValidate(t *testing.T) {
	cluster := func() Config {
		c := Default()
		c.Databases = map[string]Database{"a": {DSN: "u:p@tcp(h:3306)/", MaxConns: 4}}
		c.Meta.Database = "a"
		c.Redis.Addrs = []string{"r:6379"}
		return c
	}
	dsn := func(text string) func(*Config) {
		return func(c *Config) { c.Databases["a"] = Database{DSN: text, MaxConns: 4} }
	}
	for name, test := range map[string]struct {
		change func(*Config)
		key    string // of the only complaint; empty when there is none
	}{
		"cluster":             {func(*Config) {}, ""},
		"no data folder":      {func(c *Config) { c.Data = "" }, "data"},
		"any free port":       {func(c *Config) { c.HTTP.Addr, c.HTTP.MetricsAddr = ":0", ":0" }, ""},
		"IPv6":                {func(c *Config) { c.HTTP.Addr = "[::1]:80" }, ""},
		"IPv6 bare":           {func(c *Config) { c.HTTP.Addr = "::1:80" }, "http.addr"},
		"no port":             {func(c *Config) { c.HTTP.Addr = "localhost" }, "http.addr"},
		"no address":          {func(c *Config) { c.HTTP.Addr = "" }, "http.addr"},
		"port too high":       {func(c *Config) { c.HTTP.Addr = ":65536" }, "http.addr"},
		"no metrics":          {func(c *Config) { c.HTTP.MetricsAddr = "" }, ""},
		"metrics on the API":  {func(c *Config) { c.HTTP.MetricsAddr = c.HTTP.Addr }, "http.metrics_addr"},
		"all origins":         {func(c *Config) { c.HTTP.CORSOrigins = []string{"*"} }, ""},
		"origin with a path":  {func(c *Config) { c.HTTP.CORSOrigins = []string{"https://a.example/x"} }, "http.cors_origins"},
		"proxy by name":       {func(c *Config) { c.HTTP.TrustedProxies = []string{"proxy"} }, "http.trusted_proxies"},
		"timeout of nothing":  {func(c *Config) { c.HTTP.RequestTimeout = 0 }, "http.request_timeout"},
		"window too small":    {func(c *Config) { c.Timeline.Window = 1 }, "timeline.window"},
		"no such rule":        {func(c *Config) { c.Timeline.OnUnfollow = "drop" }, "timeline.on_unfollow"},
		"no workers":          {func(c *Config) { c.Fanout.Workers = 0 }, "fanout.workers"},
		"rate of none":        {func(c *Config) { c.Limits.Read.Requests = 0 }, "limits.read"},
		"rate per nothing":    {func(c *Config) { c.Limits.Read.Per = 0 }, "limits.read"},
		"negative session":    {func(c *Config) { c.Session.TTL = -time.Hour }, "session.ttl"},
		"shards past buckets": {func(c *Config) { c.Embedded.Shards, c.Embedded.Buckets = 8, 4 }, "embedded.buckets"},
		"unknown log level":   {func(c *Config) { c.Log.Level = "trace" }, "log.level"},
		"schema":              {func(c *Config) { c.Meta.Schema = "my_app_meta" }, ""},
		"schema with a quote": {func(c *Config) { c.Meta.Schema = "a`_meta" }, "meta.schema"},
		"schema without meta": {func(c *Config) { c.Meta.Schema = "social" }, "meta.schema"},
		"meta elsewhere":      {func(c *Config) { c.Meta.Database = "b" }, "meta.database"},
		"meta nowhere":        {func(c *Config) { c.Meta.Database = "" }, "meta.database"},
		"meta, no databases":  {func(c *Config) { c.Databases = nil }, "meta.database"},
		"no Redis":            {func(c *Config) { c.Redis.Addrs = nil }, "redis.addrs"},
		"Redis without port":  {func(c *Config) { c.Redis.Addrs = []string{"r"} }, "redis.addrs"},
		"Redis by URL":        {func(c *Config) { c.Redis.Addrs = []string{"redis://:hunter2@r:6379"} }, "redis.addrs"},
		"Redis Cluster":       {func(c *Config) { c.Redis.Addrs = []string{"r:1", "s:1"} }, ""},
		"Redis Cluster's db":  {func(c *Config) { c.Redis.Addrs, c.Redis.DB = []string{"r:1", "s:1"}, 1 }, "redis.db"},
		"HBase":               {func(c *Config) { c.Archive.URL = "hbase://z1:2181,z2:2181/ns:t" }, ""},
		"HBase, no table":     {func(c *Config) { c.Archive.URL = "hbase://z1:2181/" }, "archive.url"},
		"archive elsewhere":   {func(c *Config) { c.Archive.URL = "s3://x/y" }, "archive.url"},
		"bucket":              {func(c *Config) { c.Media.URL = "s3://bucket?region=eu" }, ""},
		"media by path":       {func(c *Config) { c.Media.URL = "/var/media" }, "media.url"},
		"socket":              {dsn("u:p@unix(/run/mysqld.sock)/?timeout=1s"), ""},
		"no user":             {dsn("tcp(h:1)/"), ""},
		"password with all":   {dsn("u:hunter2/@:?(@tcp(h:1)/"), ""},
		"no DSN":              {dsn(""), "databases.a.dsn"},
		"DSN without slash":   {dsn("u:hunter2@tcp(h:1)"), "databases.a.dsn"},
		"DSN without port":    {dsn("u:hunter2@tcp(h)/"), "databases.a.dsn"},
		"DSN with a schema":   {dsn("u:hunter2@tcp(h:1)/social"), "databases.a.dsn"},
		"DSN as URL":          {dsn("mysql://u:hunter2@h:1/"), "databases.a.dsn"},
		"database's name": {func(c *Config) {
			c.Databases["x-1"] = c.Databases["a"]
		}, "databases.x-1"},
		"no connections": {func(c *Config) {
			c.Databases["a"] = Database{DSN: "u:p@tcp(h:3306)/"}
		}, "databases.a.max_conns"},
	} {
		t.Run(name, func(t *testing.T) {
			c := cluster()
			test.change(&c)
			var keys []string
			for _, complaint := range c.complaints() {
				keys = append(keys, complaint.Key)
			}
			if got := strings.Join(keys, " "); got != test.key {
				t.Errorf("complaints about %q, want %q: %v", got, test.key, c.Validate())
			}
			if err := c.Validate(); err != nil && strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the complaint shows a password: %v", err)
			}
		})
	}
}

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "90d": 90 * day, "1d12h": 36 * time.Hour, "1h30m": 90 * time.Minute, "-5s": -5 * time.Second,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%s: %v %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "d", "5", "-1d", "1d-1h", "1d24h", "1.5d", "200000d", "99999999999999999999d"} {
		if got, err := ParseDuration(text); err == nil {
			t.Errorf("%q was read as %v", text, got)
		}
	}
}
