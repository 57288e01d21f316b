package admin

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"socialctl/archive"
	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/social"
	"socialctl/social/copies"
)

// From how little free space the data folder is worth a warning, and from how little it is a problem.
const (
	spaceWarn    = 2 << 30
	spaceProblem = 256 << 20
)

// examineFolder looks at the data folder: who may read it, and whether it has room.
func examineFolder(cfg configs.Config, e *examination) {
	info, err := os.Stat(cfg.Data)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		e.ok("exists", "%s is not there yet; it is made at first use", cfg.Data)
		return
	case err != nil:
		e.problem("exists", err.Error(), "let this user read the folder, or name another with --data")
		return
	case !info.IsDir():
		e.problem("exists", cfg.Data+" is not a folder", "name a folder with --data")
		return
	}
	mode := info.Mode().Perm()
	switch {
	case mode&0o002 != 0:
		e.problem("permissions", fmt.Sprintf("%v: everybody on this machine may change it", mode), "chmod 700 "+cfg.Data)
	case mode&0o077 != 0:
		e.warn("permissions", fmt.Sprintf("%v: others on this machine may read what people wrote", mode), "chmod 700 "+cfg.Data)
	default:
		e.ok("permissions", "%v", mode)
	}
	if free, known := freeSpace(cfg.Data); known {
		found := bytesText(free) + " free"
		advice := "make room: a full disk stops all writes"
		switch {
		case free < spaceProblem:
			e.problem("free space", found, advice)
		case free < spaceWarn:
			e.warn("free space", found, advice)
		default:
			e.ok("free space", "%s", found)
		}
	}
	file := copies.AddressFile(cfg.Data)
	secret, err := os.Stat(file)
	if err != nil {
		return // nobody runs an embedded Redis
	}
	if mode := secret.Mode().Perm(); mode&0o077 != 0 {
		e.problem("redis.json", fmt.Sprintf("%v: it holds a password, and others may read it", mode), "chmod 600 "+file)
	} else {
		e.ok("redis.json", "%v", mode)
	}
}

// bytesText writes a size as people read it.
func bytesText(n int64) string {
	unit, size := "B", float64(n)
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if size < 1024 {
			break
		}
		unit, size = next, size/1024
	}
	return fmt.Sprintf("%.4g %s", size, unit)
}

// examineShards looks at meta, at every shard, at their schema versions, and at whether the map covers all buckets.
func examineShards(ctx context.Context, cfg configs.Config, log *slog.Logger, e *examination) {
	if errors.Is(Made(cfg), ErrNoFolder) {
		e.ok("initialised", "not yet; the first `socialctl serve` does it")
		return
	}
	c, err := sharding.Open(ctx, social.ShardingOptions(cfg, log))
	switch {
	case errors.Is(err, sharding.ErrNotInitialised):
		e.problem("initialised", "there are no shards yet", "socialctl shard init --databases "+cfg.Meta.Database)
		return
	case err != nil:
		e.away(err, 2*partPatience, "see what is said of the databases; the meta schema is "+cfg.Meta.Schema)
		return
	}
	defer func() { _ = c.Close() }()
	e.ok("initialised", "%d shards, %d buckets", len(c.Shards()), c.Buckets())
	e.schema(ctx, c)
	answered := true
	for _, shard := range c.Shards() {
		status, err := c.Status(ctx, shard, nil)
		if err != nil {
			answered = false
			e.away(err, 2*partPatience, "see what is said of its database")
			continue
		}
		if status.Epoch < status.Seen {
			e.problem("epoch", fmt.Sprintf("%s is at %d and was seen at %d: it has lost transactions, and writes to it are stopped", shard, status.Epoch, status.Seen),
				"find out what the server lost (a power cut without durability, a replica promoted too early) before letting it write again")
			continue
		}
		e.ok("epoch", "%s is at %d, as known", shard, status.Epoch)
	}
	if answered {
		e.cover(ctx, c)
	}
}

func (e *examination) schema(ctx context.Context, c *sharding.Cluster) {
	versions, err := c.CheckSchema(ctx)
	if errors.Is(err, sharding.ErrNewerSchema) {
		e.problem("schema", err.Error(), "install the newer socialctl on this machine")
		return
	}
	if err != nil {
		return // a shard is away, which is said where the shards are asked
	}
	var pending []string
	for _, v := range versions {
		if v.Pending > 0 {
			pending = append(pending, fmt.Sprintf("%s (%d to come)", v.Where, v.Pending))
		}
	}
	if len(pending) > 0 {
		e.problem("schema", "older than this program: "+strings.Join(pending, ", "), "socialctl migrate")
		return
	}
	e.ok("schema", "%d databases are at the version of this program", len(versions))
}

// shownBuckets bounds how many misplaced buckets are named one by one.
const shownBuckets = 10

func (e *examination) cover(ctx context.Context, c *sharding.Cluster) {
	misplaced, err := c.Cover(ctx)
	if err != nil {
		e.problem("map", err.Error(), "see what is said of the databases")
		return
	}
	for i, m := range misplaced {
		switch {
		case i == shownBuckets:
			e.problem("map", fmt.Sprintf("and %d more buckets", len(misplaced)-i), "")
			return
		case m.Moving:
			e.warn("map", m.String(), "look again in a moment; if it stays so, the move has to be resumed")
		default:
			e.problem("map", m.String(), "look at it with `socialctl inspect shard`, and do not write to either until it is understood")
		}
	}
	if len(misplaced) == 0 {
		e.ok("map", "each of the %d buckets is open in exactly one shard, and the map agrees", c.Buckets())
	}
}

// examineRedis looks at what is configured, or at the data folder's own.
func examineRedis(ctx context.Context, cfg configs.Config, e *examination) {
	servers, err := copies.Probe(ctx, social.RedisOptions(cfg))
	switch {
	case errors.Is(err, copies.ErrNoRedis):
		e.ok("reach", "embedded, and no server is running that would own it; commands do without")
		return
	case err != nil && len(cfg.Redis.Addrs) == 0:
		e.away(err, partPatience, "the server that owns it may be ending: look again")
		return
	case err != nil:
		e.away(err, partPatience, "start Redis, or correct redis.addrs and redis.password; until then everything is read from the shards")
		return
	}
	for _, s := range servers {
		if len(cfg.Redis.Addrs) == 0 {
			e.ok("reach", "embedded, owned by a server that is running")
			continue
		}
		e.redis(s)
	}
}

// redis looks for settings that would bring old data back or refuse new data.
func (e *examination) redis(s copies.ServerInfo) {
	e.ok("reach", "%s answers, version %s, %s replicas", s.Addr, s.Version, s.Replicas)
	if s.Role != "master" {
		e.problem("role", s.Addr+" is a "+s.Role, "point redis.addrs at the master: a replica takes no writes")
	}
	e.clock(s.ClockDiff, s.RoundTrip)
	if s.Config == nil {
		e.warn("persistence", s.Addr+" does not tell its configuration", "make sure that it neither saves nor loads a file: old data must not come back")
		return
	}
	if s.Config["save"] != "" || s.Config["appendonly"] == "yes" {
		e.problem("persistence", fmt.Sprintf("%s keeps its data: save %q, appendonly %s", s.Addr, s.Config["save"], s.Config["appendonly"]),
			`CONFIG SET save "", CONFIG SET appendonly no, and in its configuration: what it would bring back after a restart is old`)
	} else {
		e.ok("persistence", "%s keeps nothing", s.Addr)
	}
	limit, policy := s.Config["maxmemory"], s.Config["maxmemory-policy"]
	switch {
	case limit == "0":
		e.warn("memory", s.Addr+" has no maxmemory", "set maxmemory, with maxmemory-policy allkeys-lru")
	case policy == "noeviction":
		e.problem("memory", s.Addr+" refuses writes when it is full (noeviction)", "CONFIG SET maxmemory-policy allkeys-lru")
	default:
		e.ok("memory", "at most %s bytes, then %s", limit, policy)
	}
}

// examineArchive proves that HBase can be used: it puts a row of nobody's, reads it and takes it away.
func examineArchive(ctx context.Context, cfg configs.Config, e *examination) {
	if cfg.Archive.URL == "" {
		e.ok("reach", "embedded: a SQLite file in the data folder")
		return
	}
	h, err := archive.OpenHBase(ctx, cfg.Archive.URL)
	if err != nil {
		e.problem("reach", err.Error(), "correct archive.url")
		return
	}
	defer func() { _ = h.Close() }()
	err = h.Probe(ctx, archive.ProbeOptions{})
	switch {
	case errors.Is(err, archive.ErrNoTable):
		table := cfg.Archive.URL[strings.LastIndexByte(cfg.Archive.URL, '/')+1:]
		e.problem("table", err.Error(), fmt.Sprintf("create it in the HBase shell: create '%s', {NAME => 'e', VERSIONS => 1}", table))
	case err != nil:
		e.away(err, archivePatience, "start HBase, or correct archive.url; recent pages work as always")
	default:
		e.ok("reach", "a row was put, read and deleted")
	}
}
