package admin

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"socialctl/configs"
)

// Finding is one thing that doctor has looked at.
type Finding struct {
	Part   string `json:"part"`
	Check  string `json:"check"`
	Status string `json:"status"` // StatusOK and so on
	Found  string `json:"found"`
	Advice string `json:"advice"` // what to do about it; "" where it is well
}

// How a finding is.
const (
	StatusOK      = "ok"
	StatusWarn    = "warn"    // works, and is worth a thought
	StatusProblem = "problem" // does not work, or can lose what was acknowledged
)

// How long a part has to answer. HBase is tried again within its time, as one that is starting answers late.
const (
	partPatience    = 5 * time.Second
	archivePatience = 15 * time.Second
)

// examination is the part of a system that one doctor's look is about, with what was found.
type examination struct {
	part     string
	findings []Finding
}

func (e *examination) ok(check, format string, args ...any) {
	e.findings = append(e.findings, Finding{e.part, check, StatusOK, fmt.Sprintf(format, args...), ""})
}

func (e *examination) warn(check, found, advice string) {
	e.findings = append(e.findings, Finding{e.part, check, StatusWarn, found, advice})
}

func (e *examination) problem(check, found, advice string) {
	e.findings = append(e.findings, Finding{e.part, check, StatusProblem, found, advice})
}

// away reports a part that could not be reached, in the words of its error, or by how long it was waited for.
func (e *examination) away(err error, patience time.Duration, advice string) {
	found := err.Error()
	if errors.Is(err, context.DeadlineExceeded) {
		found = fmt.Sprintf("no answer within %v: %v", patience, err)
	}
	e.problem("reach", found, advice)
}

// Doctor reaches every part that the configuration names, each for a bounded time, and says what it has found, in a fixed
// order. It changes nothing; in HBase it puts a row of nobody and takes it away. The error is that of ctx alone: what is wrong with a part is a finding.
func Doctor(ctx context.Context, cfg configs.Config, log *slog.Logger) ([]Finding, error) {
	type look struct {
		part     string
		patience time.Duration
		at       func(ctx context.Context, e *examination)
	}
	looks := []look{{"data folder", partPatience, func(_ context.Context, e *examination) { examineFolder(cfg, e) }}}
	for _, name := range slices.Sorted(maps.Keys(cfg.Databases)) {
		looks = append(looks, look{"database " + name, partPatience, func(ctx context.Context, e *examination) {
			examineServer(ctx, name, cfg.Databases[name], e)
		}})
	}
	looks = append(looks,
		look{"shards", 2 * partPatience, func(ctx context.Context, e *examination) { examineShards(ctx, cfg, log, e) }},
		look{"redis", partPatience, func(ctx context.Context, e *examination) { examineRedis(ctx, cfg, e) }},
		look{"archive", archivePatience, func(ctx context.Context, e *examination) { examineArchive(ctx, cfg, e) }})
	seen := make([]examination, len(looks))
	var wg sync.WaitGroup
	for i, l := range looks {
		wg.Go(func() {
			within, cancel := context.WithTimeout(ctx, l.patience)
			defer cancel()
			seen[i].part = l.part
			l.at(within, &seen[i])
		})
	}
	wg.Wait()
	var all []Finding
	for _, e := range seen {
		all = append(all, e.findings...)
	}
	return all, ctx.Err()
}

// clockBounds are from which difference a clock is worth a warning, and from which it is a problem: times of messages
// come from the machines that run this program, so these must agree, and a shared server shows when they do not.
const (
	clockWarn    = time.Second
	clockProblem = time.Minute
)

func (e *examination) clock(diff, roundTrip time.Duration) {
	size := max(diff.Abs()-roundTrip/2, 0)
	found := fmt.Sprintf("%v from this machine's, measured to %v", diff.Round(time.Millisecond), cmp.Or((roundTrip/2).Round(time.Microsecond), time.Microsecond))
	advice := "synchronise the clocks of all machines (NTP)"
	switch {
	case size > clockProblem:
		e.problem("clock", found, advice)
	case size > clockWarn:
		e.warn("clock", found, advice)
	default:
		e.ok("clock", "%s", found)
	}
}
