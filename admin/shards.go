package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"socialctl/configs"
	"socialctl/sharding"
	"socialctl/social"
	"socialctl/social/schema"
)

// ErrNoFolder says that an embedded data folder has not been made yet, so that there is nothing to look at.
var ErrNoFolder = errors.New("there is nothing in the data folder yet")

// Made tells whether an embedded data folder exists. Looking for it makes nothing; of a cluster it says nothing and
// returns nil. The error is ErrNoFolder.
func Made(cfg configs.Config) error {
	if !cfg.IsEmbedded() {
		return nil
	}
	_, err := os.Stat(filepath.Join(cfg.Data, cfg.Meta.Schema+".db"))
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s: %w: `socialctl serve` makes it, or name another with --data", cfg.Data, ErrNoFolder)
	}
	return err
}

// InitShards is a `shard init`. Zero values mean the configuration's own for an embedded folder, and 4 shards of 1,024
// buckets in all otherwise.
type InitShards struct {
	Shards    int
	Buckets   int
	Databases []string
	DryRun    bool
}

// InitReport is what InitShards has found or made.
type InitReport struct {
	Made    string // OutcomeMade and so on
	Shards  []PlannedShard
	Buckets int
}

// PlannedShard is a shard as the plan has it.
type PlannedShard struct {
	Shard    sharding.ShardID
	Database string // "" in an embedded folder
	Schema   string
	Buckets  int
}

// The outcomes of InitShards.
const (
	OutcomeMade    = "made"
	OutcomeThere   = "there already"
	OutcomeMissing = "not made yet" // a dry run
)

// What a cluster is made of unless told otherwise.
const (
	defaultShards  = 4
	defaultBuckets = 1024
)

// plan fills in what was not given and checks it. The error names the flags at fault.
func (i InitShards) plan(cfg configs.Config, o sharding.Options) (sharding.Plan, error) {
	plan := sharding.Plan{Shards: i.Shards, Buckets: i.Buckets, Databases: i.Databases}
	shards, buckets := defaultShards, defaultBuckets
	if cfg.IsEmbedded() {
		shards, buckets = cfg.Embedded.Shards, cfg.Embedded.Buckets
	}
	plan.Shards, plan.Buckets = cmp.Or(plan.Shards, shards), cmp.Or(plan.Buckets, buckets)
	return plan, plan.Validate(o)
}

// UsageError is something asked for that cannot be, such as a plan: it names the flags or the argument at fault.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }

// Unwrap returns the complaints.
func (e *UsageError) Unwrap() error { return e.Err }

// Run creates the meta schema and the shards, once. A second run with the same plan changes nothing. Errors: UsageError,
// sharding.UnavailableError, and one that says what the cluster was made with where that was another plan.
func (i InitShards) Run(ctx context.Context, cfg configs.Config, log *slog.Logger) (InitReport, error) {
	o := social.ShardingOptions(cfg, log)
	plan, err := i.plan(cfg, o)
	if err != nil {
		return InitReport{}, &UsageError{err}
	}
	report := InitReport{Buckets: plan.Buckets, Shards: planned(cfg, plan)}
	if i.DryRun {
		report.Made, err = whetherMade(ctx, cfg, o, report)
		return report, err
	}
	done, err := sharding.Init(ctx, o, plan)
	report.Made = OutcomeThere
	if done.Fresh {
		report.Made = OutcomeMade
	}
	return report, err
}

func whetherMade(ctx context.Context, cfg configs.Config, o sharding.Options, plan InitReport) (string, error) {
	if errors.Is(Made(cfg), ErrNoFolder) {
		return OutcomeMissing, nil
	}
	c, err := sharding.Open(ctx, o)
	if errors.Is(err, sharding.ErrNotInitialised) {
		return OutcomeMissing, nil
	}
	if err != nil {
		return "", err
	}
	if len(c.Shards()) != len(plan.Shards) || c.Buckets() != plan.Buckets {
		err = fmt.Errorf("this cluster has %d shards and %d buckets already", len(c.Shards()), c.Buckets())
	}
	return OutcomeThere, errors.Join(err, c.Close())
}

func planned(cfg configs.Config, plan sharding.Plan) []PlannedShard {
	prefix := strings.TrimSuffix(cfg.Meta.Schema, "_meta")
	out := make([]PlannedShard, plan.Shards)
	for s := range out {
		out[s] = PlannedShard{Shard: sharding.ShardID(s), Schema: sharding.SchemaName(prefix, sharding.ShardID(s)),
			Buckets: plan.Buckets / plan.Shards}
		if s < plan.Buckets%plan.Shards {
			out[s].Buckets++
		}
		if len(plan.Databases) > 0 {
			out[s].Database = plan.Databases[s%len(plan.Databases)]
		}
	}
	return out
}

// ShardReport is a shard with what it holds. Problem is set where the shard could not be asked; the rest is then empty.
type ShardReport struct {
	sharding.ShardStatus
	People  map[string]int64 // accounts by state; exact
	Total   int64            // accounts that are live or disabled; exact
	Rows    int64            // estimate, over all tables
	Skew    float64          // Total against the mean of all shards that answered; 1 is even
	Problem string
}

// ShardStatus asks every shard how it stands and what it holds. A shard that is away is reported as such, and the others
// all the same. Errors: ErrNoFolder, sharding.ErrNotInitialised, and UnavailableError when meta is away.
func ShardStatus(ctx context.Context, cfg configs.Config, log *slog.Logger) ([]ShardReport, error) {
	if err := Made(cfg); err != nil {
		return nil, err
	}
	c, err := sharding.Open(ctx, social.ShardingOptions(cfg, log))
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.Close() }()
	reports := make([]ShardReport, len(c.Shards()))
	var people, answered float64
	for i, shard := range c.Shards() {
		r, err := shardReport(ctx, c, shard)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			r = ShardReport{ShardStatus: sharding.ShardStatus{Shard: shard}, Problem: err.Error()}
		} else {
			answered++
			people += float64(r.Total)
		}
		reports[i] = r
	}
	for i := range reports {
		if reports[i].Problem == "" && people > 0 {
			reports[i].Skew = float64(reports[i].Total) / (people / answered)
		}
	}
	return reports, nil
}

func shardReport(ctx context.Context, c *sharding.Cluster, shard *sharding.Shard) (ShardReport, error) {
	status, err := c.Status(ctx, shard, tableNames())
	if err != nil {
		return ShardReport{}, err
	}
	r := ShardReport{ShardStatus: status, People: map[string]int64{}}
	states, err := c.CountBy(ctx, shard, "user_info", "state")
	if err != nil {
		return ShardReport{}, err
	}
	for state, n := range states {
		name := social.Meaning("user_info", "state", state)
		r.People[name] = n
		if name == "live" || name == "disabled" {
			r.Total += n
		}
	}
	for _, t := range status.Tables {
		r.Rows += max(0, t.Rows)
	}
	if status.Epoch < status.Seen {
		r.Problem = fmt.Sprintf("is at epoch %d and was seen at %d: it has lost transactions, and writes to it are stopped", status.Epoch, status.Seen)
	}
	return r, nil
}

func tableNames() []string {
	names := make([]string, len(schema.Tables))
	for i, t := range schema.Tables {
		names[i] = t.Name
	}
	return names
}
