// Package configs owns every setting of socialctl: its key, its default, its
// meaning and its limits are declared once, in the tags of Config, and the
// loader, the validation, the sample file and the command-line help all read
// them there.
//
// It promises that a loaded Config is complete and valid, that each value's
// origin is known, and that no secret is shown by printing, logging or
// encoding a setting. It opens nothing but the configuration file and the
// files that hold secrets, and knows no other package of the project.
package configs

import (
	"time"
)

// Config is the complete set of settings. The tags are the declaration:
// mapstructure is the key, default the default, doc the meaning, flag the name
// of the command-line flag, min, max, oneof and check the limits, secret the
// way in which the value is masked, and unit:"bytes" a size such as 1MiB.
type Config struct {
	Data      string              `mapstructure:"data" flag:"data" default:"./data" check:"given" doc:"Folder of everything that is embedded: shards, archive, media, locks."`
	HTTP      HTTP                `mapstructure:"http" doc:"The HTTP API."`
	Databases map[string]Database `mapstructure:"databases" doc:"MySQL or MariaDB servers by a name of your choice. None: shards are SQLite files in the data folder."`
	Meta      Meta                `mapstructure:"meta" doc:"The schema that knows the shards, the map and the jobs."`
	Redis     Redis               `mapstructure:"redis" doc:"Redis or Redis Cluster, needed as soon as there are databases. None: a server inside the process."`
	Archive   Archive             `mapstructure:"archive" doc:"Old timeline rows."`
	Media     Media               `mapstructure:"media" doc:"Uploaded files."`
	Timeline  Timeline            `mapstructure:"timeline" doc:"Home timelines."`
	Fanout    Fanout              `mapstructure:"fanout" doc:"Delivery of messages to timelines."`
	Message   Message             `mapstructure:"message" doc:"Messages and comments."`
	Limits    Limits              `mapstructure:"limits" doc:"Rate limits: so many requests per so much time, written 120/1m."`
	Session   Session             `mapstructure:"session" doc:"Sessions of people who logged in."`
	Embedded  Embedded            `mapstructure:"embedded" doc:"Layout of a new data folder; an existing one keeps its own."`
	Log       Log                 `mapstructure:"log" doc:"Logs, on standard error."`
}

// HTTP holds the settings of the API's listeners.
type HTTP struct {
	Addr              string        `mapstructure:"addr" flag:"addr" default:"127.0.0.1:8080" check:"listen" doc:"Address of the API; port 0 takes a free one."`
	MetricsAddr       string        `mapstructure:"metrics_addr" flag:"metrics-addr" default:"127.0.0.1:8081" check:"optional-listen" doc:"Address of /metrics, apart from the API; empty for none."`
	CORSOrigins       []string      `mapstructure:"cors_origins" check:"origin" doc:"Origins whose pages may call the API, such as https://app.example, or * for all."`
	BodyLimit         int64         `mapstructure:"body_limit" default:"1MiB" unit:"bytes" min:"1KiB" max:"1GiB" doc:"Largest request body; uploads of media have their own limit."`
	ReadHeaderTimeout time.Duration `mapstructure:"read_header_timeout" default:"5s" min:"1ms" max:"1h" doc:"Time a client has to send its request's headers."`
	RequestTimeout    time.Duration `mapstructure:"request_timeout" default:"30s" min:"1ms" max:"1h" doc:"Time a request may take before it is given up."`
	IdleTimeout       time.Duration `mapstructure:"idle_timeout" default:"2m" min:"1ms" max:"1d" doc:"Time a connection is kept without a request."`
	ShutdownTimeout   time.Duration `mapstructure:"shutdown_timeout" default:"25s" min:"1ms" max:"1h" doc:"Time requests in progress have to end at a stop; below the 30s after which Kubernetes kills."`
	MaxHeaderBytes    int           `mapstructure:"max_header_bytes" default:"64KiB" unit:"bytes" min:"4KiB" max:"16MiB" doc:"Largest request header."`
	TrustedProxies    []string      `mapstructure:"trusted_proxies" check:"network" doc:"Addresses or networks (10.0.0.0/8) whose X-Forwarded-For is believed; none: the connection's own address counts."`
}

// Database is one MySQL or MariaDB server that carries shards.
type Database struct {
	DSN      string `mapstructure:"dsn" secret:"dsn" check:"dsn" doc:"user:password@tcp(host:port)/ with no schema after the slash: each shard has its own."`
	DSNFile  string `mapstructure:"dsn_file" doc:"File to read dsn from, instead of writing it here."`
	MaxConns int    `mapstructure:"max_conns" default:"64" min:"2" max:"10000" doc:"Connections this process may have to the server, over all of its shards."`
}

// Meta says where the meta schema lies.
type Meta struct {
	Database string `mapstructure:"database" doc:"Name of the database that carries the meta schema; needed as soon as there are databases."`
	Schema   string `mapstructure:"schema" default:"social_meta" check:"schema" doc:"Name of the meta schema, NAME_meta; its shards are NAME_0000, NAME_0001 and so on."`
}

// Redis holds the addresses and credentials of the hot store.
type Redis struct {
	Addrs        []string `mapstructure:"addrs" check:"server" doc:"host:port; more than one means Redis Cluster."`
	Password     string   `mapstructure:"password" secret:"text" doc:"Password."`
	PasswordFile string   `mapstructure:"password_file" doc:"File to read password from, instead of writing it here."`
	DB           int      `mapstructure:"db" default:"0" min:"0" max:"16383" doc:"Number of the logical database; Redis Cluster has only 0."`
}

// Archive says where aged timeline rows go.
type Archive struct {
	URL string `mapstructure:"url" secret:"url" check:"archive" doc:"hbase://HOST:PORT[,HOST:PORT]/TABLE with the hosts of ZooKeeper; empty: a SQLite file in the data folder."`
}

// Media says where uploaded files go.
type Media struct {
	URL string `mapstructure:"url" secret:"url" check:"bucket" doc:"Bucket: file:///folder, s3://bucket?region=eu-west-1 and the like; empty: a folder in the data folder."`
}

// Timeline holds the rules of home timelines.
type Timeline struct {
	OnUnfollow string `mapstructure:"on_unfollow" default:"remove" oneof:"remove|keep" doc:"What happens to an author's messages in the timeline of somebody who stops following: remove or keep."`
	Backfill   int    `mapstructure:"backfill" default:"200" min:"0" max:"10000" doc:"Newest messages of an author that a new follower gets."`
	Comments   bool   `mapstructure:"comments" default:"false" doc:"Whether comments are delivered to timelines too."`
	Window     int    `mapstructure:"window" default:"800" min:"20" max:"20000" doc:"Newest entries of a timeline in use that are kept in Redis."`
}

// Fanout sizes the delivery of messages.
type Fanout struct {
	Workers int `mapstructure:"workers" flag:"workers" default:"4" min:"1" max:"1024" doc:"Delivery workers of a process."`
}

// Message bounds what people write.
type Message struct {
	MaxLength int `mapstructure:"max_length" default:"2000" min:"1" max:"16000" doc:"Longest text, in characters."`
}

// Limits holds the rate limits by class of request.
type Limits struct {
	Enabled bool `mapstructure:"enabled" default:"true" doc:"Whether rates are limited at all."`
	Signup  Rate `mapstructure:"signup" default:"30/1h" doc:"New accounts, by address."`
	Login   Rate `mapstructure:"login" default:"20/1m" doc:"Log-ins, by address and name."`
	Write   Rate `mapstructure:"write" default:"120/1m" doc:"Everything that changes something, by account."`
	Read    Rate `mapstructure:"read" default:"1200/1m" doc:"Everything else, by account, or by address without one."`
}

// Rate is a number of requests allowed per span of time, written 120/1m.
type Rate struct {
	Requests int
	Per      time.Duration
}

// Session holds the rules of sessions.
type Session struct {
	TTL time.Duration `mapstructure:"ttl" default:"90d" min:"1m" max:"3650d" doc:"Time after which a session ends, counted from the log-in."`

	MaxPerAccount int `mapstructure:"max_per_account" default:"100" min:"1" max:"1000" doc:"Sessions of one account; a log-in beyond it ends the one that was used longest ago."`
}

// Embedded is the layout of a new data folder.
type Embedded struct {
	Shards  int `mapstructure:"shards" default:"4" min:"1" max:"256" doc:"Shards, each a SQLite file."`
	Buckets int `mapstructure:"buckets" default:"1024" min:"1" max:"65536" doc:"Buckets over which people are spread; the finest grain of a later split."`
}

// Log holds what is logged and how.
type Log struct {
	Level  string `mapstructure:"level" flag:"log-level" default:"info" oneof:"debug|info|warn|error" doc:"Least level that is logged: debug, info, warn or error."`
	Format string `mapstructure:"format" flag:"log-format" default:"text" oneof:"text|json" doc:"text or json."`
}

// Default returns the settings of a system without any configuration.
func Default() Config {
	var c Config
	// The tags are checked by a test, so that defaults always parse here.
	c.visit(func(f field) {
		if v, err := f.parse(f.Default); err == nil {
			f.set(v)
		}
	})
	return c
}

// IsEmbedded reports whether no databases are configured, so that shards are
// SQLite files in the data folder.
func (c Config) IsEmbedded() bool { return len(c.Databases) == 0 }
