package main

import (
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"socialctl/admin"
	"socialctl/configs"
	"socialctl/sharding/shardingtest"
	"socialctl/social"
)

// TestAnImportKilledAndRunAgainDoublesNothing kills `import ldbc` and `import graph` at random instants until a run comes
// through, and then counts.
func TestAnImportKilledAndRunAgainDoublesNothing(t *testing.T) {
	program := buildProgram(t)
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	graph := filepath.Join(t.TempDir(), "ring.edges")
	var edges strings.Builder
	const first = 500_000 // none of the benchmark's people has such a number
	for i := range 3000 {
		for _, step := range []int{1, 7, 31} {
			edges.WriteString(strings.Join([]string{itoa(first + i), itoa(first + (i+step)%3000)}, " ") + "\n")
		}
	}
	if err := os.WriteFile(graph, []byte(edges.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	ldbc := filepath.Join(shardingtest.Root(t), "testdata", "ldbc-snb")
	for _, p := range shardingtest.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			cfg := p.Config(t)
			config := configFile(t, cfg)
			if err := os.WriteFile(filepath.Join(filepath.Dir(config), "serve.log"), nil, 0o600); err != nil { // nobody serves
				t.Fatal(err)
			}
			for _, args := range [][]string{{"import", "graph", graph, "--create-users"}, {"import", "ldbc", ldbc}} {
				killed := 0
				for try := range 60 { // later runs are given more time, so that on a slow machine one comes through
					report, done := killedRun(t, chance, try, program, append(args, "--config", config, "-o", "json", "--no-progress"))
					if !done {
						killed++
						continue
					}
					t.Logf("%s: came through after %d kills: %+v", args[1], killed, report)
					break
				}
				if killed == 0 {
					t.Fatalf("no run of %s was killed: the test shows nothing", args[1])
				}
				again, done := killedRun(t, nil, 0, program, append(args, "--config", config, "-o", "json", "--no-progress"))
				if !done || again.PeopleMade+again.FollowsMade+again.MessagesMade+again.Rejected != 0 {
					t.Fatalf("another run of %s: %+v", args[1], again)
				}
				if args[1] == "ldbc" && (again.People != 222 || again.Follows != 1650 || again.Messages != 8142) {
					t.Fatalf("%+v", again)
				}
			}
			workOff(t, cfg)
			countImported(t, p, config, program)
		})
	}
}

// workOff does what the killed runs still owe, as any server's workers would.
func workOff(t *testing.T, cfg configs.Config) {
	t.Helper()
	b, err := social.Open(t.Context(), cfg, social.OpenOptions{Role: social.RoleServer})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}()
	for deadline := time.Now().Add(2 * time.Minute); time.Now().Before(deadline); {
		if _, err := b.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		owed, err := b.OutboxStatus(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(owed, func(o social.OutboxStatus) bool { return o.Kind != "sweep" && o.Count > 0 }) {
			return
		}
	}
	t.Fatal("something is owed for ever")
}

func itoa(n int) string {
	raw, _ := json.Marshal(n)
	return string(raw)
}

// killedRun runs the program and kills it after a while, unless chance is nil or it ends before.
func killedRun(t *testing.T, chance *rand.Rand, try int, program string, args []string) (report admin.ImportReport, done bool) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	var errs strings.Builder
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var timer *time.Timer
	if chance != nil {
		after := 100 + chance.IntN(250) // the first comes within half the time that the quickest run takes
		if try > 0 {
			after = 100 + chance.IntN(1000) + 600*try
		}
		timer = time.AfterFunc(time.Duration(after)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		defer timer.Stop()
	}
	decoded := json.NewDecoder(out).Decode(&report)
	err = cmd.Wait()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == -1 {
		return report, false // killed
	}
	if err != nil || decoded != nil {
		t.Fatalf("%s: %v, %v\n%s", strings.Join(args, " "), err, decoded, errs.String())
	}
	return report, true
}

// countImported adds up what everybody has: as many follows on either side and messages as the files hold.
func countImported(t *testing.T, p shardingtest.Profile, config, program string) {
	t.Helper()
	raw, err := exec.CommandContext(t.Context(), program, "user", "list", "--config", config, "-o", "json", "--limit", "100000").Output()
	if err != nil {
		t.Fatal(err)
	}
	var people, messages, followers, following int64
	for decoder := json.NewDecoder(strings.NewReader(string(raw))); decoder.More(); {
		var one struct {
			State     string `json:"state"`
			Messages  int64  `json:"messages"`
			Followers int64  `json:"followers"`
			Following int64  `json:"following"`
		}
		if err := decoder.Decode(&one); err != nil {
			t.Fatal(err)
		}
		if one.State == "live" { // a killed run leaves accounts that did not get their name
			people++
		}
		messages += one.Messages
		followers, following = followers+one.Followers, following+one.Following
	}
	if want := int64(9000 + 1650); people != 3000+222 || messages != 8142 || followers != want || following != want {
		t.Fatalf("%s: %d people, %d messages, %d followers, %d following; want 3222 people, 8142 messages and %d follows", p.Name, people, messages, followers, following, want)
	}
}
