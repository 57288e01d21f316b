package admin

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"socialctl/sharding"
	"socialctl/social"
)

// Bench is a load of one mix against the API, with the raw limits of the same machine measured in the same run.
type Bench struct {
	Mix         string        // timeline, post, or mixed: 60 % home pages, 30 % account pages, 10 % posts
	Connections int           // requests at once
	Duration    time.Duration // of each measurement; each is preceded by a second of warming up
	Rounds      int           // measurements of each kind, in turn; the median is reported
	People      int
	Follows     int // of each person
	Posts       int // of each person before the load
	API         http.Handler
	URL         string                                 // a running server instead of API
	MetricsURL  string                                 // of that server, for its memory
	Yardstick   func(y *social.Yardstick) http.Handler // the raw page over HTTP
}

// BenchReport is what a run measured. Rates are a second's; times are milliseconds.
type BenchReport struct {
	Mix          string  `json:"mix"`
	Engine       string  `json:"engine"`
	Shards       int     `json:"shards"`
	Connections  int     `json:"connections"`
	People       int     `json:"people"`
	Cores        int     `json:"cores"`
	Requests     int64   `json:"requests"`
	Errors       int64   `json:"errors"`
	PerSecond    float64 `json:"per_second"`
	P50          float64 `json:"p50_ms"`
	P99          float64 `json:"p99_ms"`
	Limit        string  `json:"limit"`
	LimitPerSec  float64 `json:"limit_per_second"`
	Ratio        float64 `json:"ratio"`
	ResidentMiB  float64 `json:"resident_mib"`
	ResidentOf   string  `json:"resident_of"`
	FirstFailure string  `json:"first_failure,omitempty"`
}

// Validate names the flag at fault and fills defaults.
func (l *Bench) Validate() error {
	if !slices.Contains([]string{"timeline", "post", "mixed"}, l.Mix) {
		return fmt.Errorf("--mix: %q is not timeline, post or mixed", l.Mix)
	}
	for _, f := range []struct {
		flag  string
		value int
		most  int
	}{{"--connections", l.Connections, 1000}, {"--rounds", l.Rounds, 99}, {"--people", l.People, 100_000}, {"--follows", l.Follows, l.People - 1}, {"--posts", l.Posts, 1000}} {
		if f.value < 1 || f.value > f.most {
			return fmt.Errorf("%s: %d is not between 1 and %d", f.flag, f.value, f.most)
		}
	}
	if l.Duration < 100*time.Millisecond || l.Duration > 10*time.Minute {
		return fmt.Errorf("--duration: %s is not between 100ms and 10m", l.Duration)
	}
	return nil
}

// Run makes people of its own in the system and measures. It leaves them there: it is for systems that are for that.
func (l Bench) Run(ctx context.Context, b *social.Backend) (BenchReport, error) {
	report := BenchReport{Mix: l.Mix, Engine: b.Cluster.Shards()[0].Dialect().String(), Shards: len(b.Cluster.Shards()),
		Connections: l.Connections, People: l.People, Cores: runtime.NumCPU()}
	people, err := l.prepare(ctx, b)
	if err != nil {
		return report, err
	}
	target := l.URL
	if target == "" {
		api := httptest.NewServer(l.API)
		defer api.Close()
		target = api.URL
	}
	limit, done, err := l.limit(ctx, b, &report)
	if err != nil {
		return report, err
	}
	defer done()
	var rates, limits []float64
	var times []time.Duration
	for range l.Rounds {
		raw := l.load(ctx, limit)
		if raw.failed > 0 {
			return report, fmt.Errorf("the limit could not be measured: %s", raw.failure)
		}
		got := l.load(ctx, l.requests(target, people))
		report.Requests, report.Errors = report.Requests+got.done, report.Errors+got.failed
		report.FirstFailure = cmp.Or(report.FirstFailure, got.failure)
		rates, limits, times = append(rates, got.rate), append(limits, raw.rate), append(times, got.times...)
		if ctx.Err() != nil {
			return report, ErrStopped
		}
	}
	slices.Sort(times)
	report.PerSecond, report.LimitPerSec = median(rates), median(limits)
	report.Ratio = report.PerSecond / report.LimitPerSec
	if len(times) > 0 {
		report.P50, report.P99 = millis(times[len(times)/2]), millis(times[len(times)*99/100])
	}
	report.ResidentMiB, report.ResidentOf = l.resident(ctx)
	if report.Errors > 0 {
		return report, fmt.Errorf("%d of %d requests failed: %s", report.Errors, report.Requests, report.FirstFailure)
	}
	return report, nil
}

func median(v []float64) float64 {
	v = slices.Sorted(slices.Values(v))
	return v[len(v)/2]
}

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// benchPerson is somebody in whose name requests are sent.
type benchPerson struct {
	id    social.UserID
	token string
}

// prepare makes people who follow each other and have posted, with everything delivered.
func (l Bench) prepare(ctx context.Context, b *social.Backend) ([]benchPerson, error) {
	stamp := strconv.FormatInt(time.Now().UnixMilli(), 36)
	accounts := make([]social.NewAccount, l.People)
	for i := range accounts {
		accounts[i] = social.NewAccount{Name: fmt.Sprintf("bench_%s_%d", stamp, i)}
	}
	ids, _, err := b.Accounts.CreateMany(ctx, accounts)
	if err != nil {
		return nil, err
	}
	chance := rand.New(rand.NewPCG(1, 2))
	var follows []social.ImportedFollow
	for i, id := range ids {
		for _, j := range chance.Perm(len(ids))[:l.Follows+1] {
			if j != i {
				follows = append(follows, social.ImportedFollow{Follower: id, Followed: ids[j]})
			}
		}
	}
	if _, err := b.Relations.Import(ctx, follows); err != nil {
		return nil, err
	}
	var list []social.ImportedMessage
	for n := range l.Posts {
		for i, id := range ids {
			list = append(list, social.ImportedMessage{Author: id, Source: "bench", External: fmt.Sprintf("%d-%d", i, n),
				Kind: social.KindOriginal, Content: benchWords(n)})
		}
	}
	for part := range slices.Chunk(list, importBatch) {
		if _, err := b.Messages.Import(ctx, part); err != nil {
			return nil, err
		}
	}
	if err := settled(ctx, b); err != nil {
		return nil, err
	}
	people := make([]benchPerson, len(ids))
	for i, id := range ids {
		granted, err := b.Sessions.Grant(ctx, id)
		if err != nil {
			return nil, err
		}
		people[i] = benchPerson{id, granted.Token}
	}
	return people, nil
}

// settled works until nothing is owed any more, by this process or another, but for the sweeps of later days.
func settled(ctx context.Context, b *social.Backend) error {
	for ctx.Err() == nil {
		if _, err := b.Pass(ctx); err != nil {
			return err
		}
		owed, err := b.OutboxStatus(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(owed, func(o social.OutboxStatus) bool { return o.Kind != "sweep" && o.Count > 0 }) {
			return nil
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
	return ErrStopped
}

// benchWords is a message of a usual length: about 120 bytes.
func benchWords(n int) string {
	return fmt.Sprintf("Message %d, of the length that messages have: a sentence or two, some words of no weight, and an end, which is here.", n)
}

// limit prepares what this mix is compared with: for pages ids and twenty stored messages from Redis, spliced, over HTTP;
// for posts plain write transactions with as many statements.
func (l Bench) limit(ctx context.Context, b *social.Backend, report *BenchReport) (request, func(), error) {
	if l.Mix == "post" {
		return l.postLimit(ctx, b, report)
	}
	report.Limit = "ids and 20 stored messages from Redis, spliced, over HTTP"
	y, err := b.NewYardstick(ctx, min(l.People, 200), 20, benchBody)
	if err != nil {
		return nil, nil, err
	}
	web := httptest.NewServer(l.Yardstick(y))
	return func(ctx context.Context, client *http.Client, _ int, n int64) error {
			return send(ctx, client, http.MethodGet, web.URL+"/page?n="+strconv.FormatInt(n, 10), "", "", http.StatusOK)
		}, func() {
			web.Close()
			_ = y.Drop(context.WithoutCancel(ctx)) // what is left is under a prefix of its own
		}, nil
}

// benchBody is a stored message as the API would send it.
func benchBody(page, n int) []byte {
	raw, err := json.Marshal(social.Message{ID: social.MessageID{Author: social.UserID(page + 1), N: int64(n + 1)}, Kind: social.KindOriginal,
		Author:  social.AuthorCard{ID: social.UserID(page + 1), Name: fmt.Sprintf("bench_%d", page), DisplayName: fmt.Sprintf("bench_%d", page)},
		Content: benchWords(n), Visibility: social.VisibilityPublic, Media: []social.Media{}, Mentions: []social.Mention{},
		CreatedAt: social.Millis(time.Now().UnixMilli())})
	if err != nil { // plain fields
		return nil
	}
	return raw
}

func (l Bench) postLimit(ctx context.Context, b *social.Backend, report *BenchReport) (request, func(), error) {
	report.Limit = "write transactions with as many statements, without HTTP"
	var plain []sharding.Plain
	drop := func() {
		for _, p := range plain {
			_ = p.Drop(context.WithoutCancel(ctx)) // a table of its own, made anew at each run
		}
	}
	for _, s := range b.Cluster.Shards() {
		p := b.Cluster.Plain(s)
		if err := p.Prepare(ctx, min(l.People, 5000)); err != nil {
			drop()
			return nil, nil, err
		}
		plain = append(plain, p)
	}
	return func(ctx context.Context, _ *http.Client, _ int, n int64) error {
		var err error
		for range 5 { // deadlocks and busy files are tried again, as the product does
			user := rand.IntN(min(l.People, 5000))
			if err = plain[rand.IntN(len(plain))].Post(ctx, user, n, benchWords(int(n))); err == nil {
				return nil
			}
		}
		return err
	}, drop, nil
}

// resident reads the memory of the server: from its metrics where it is another process.
func (l Bench) resident(ctx context.Context) (float64, string) {
	if l.URL == "" {
		raw, err := os.ReadFile("/proc/self/statm")
		fields := strings.Fields(string(raw))
		if err != nil || len(fields) < 2 {
			return 0, "unknown"
		}
		pages, _ := strconv.ParseFloat(fields[1], 64)
		return pages * float64(os.Getpagesize()) / (1 << 20), "server and load together, one process"
	}
	if l.MetricsURL == "" {
		return 0, "unknown: --metrics-url was not given"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, l.MetricsURL+"/metrics", nil)
	if err != nil {
		return 0, err.Error()
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = answer.Body.Close() }()
	lines := bufio.NewScanner(answer.Body)
	for lines.Scan() {
		if v, ok := strings.CutPrefix(lines.Text(), "process_resident_memory_bytes "); ok {
			bytes, err := strconv.ParseFloat(v, 64)
			if err == nil {
				return bytes / (1 << 20), "the server, another process"
			}
		}
	}
	return 0, errors.Join(lines.Err(), errors.New("not among the metrics")).Error()
}
