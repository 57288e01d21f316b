package social

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"socialctl/sharding"
)

// redisChild is another process on the same data folder: the test's own program, run again for the same test.
type redisChild struct {
	t       testing.TB
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Scanner
}

const childFolder = "SOCIALCTL_TEST_CHILD_FOLDER"

// startServer starts a server process and returns without waiting for it.
func startServer(t *testing.T, folder string) *redisChild {
	c := &redisChild{t: t, process: exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")}
	c.process.Env = append(os.Environ(), childFolder+"="+folder)
	c.process.Stderr = os.Stderr
	out, err := c.process.StdoutPipe()
	if err == nil {
		c.out = bufio.NewScanner(out)
		c.in, err = c.process.StdinPipe()
	}
	if err == nil {
		err = c.process.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.kill)
	return c
}

// kill is kill -9.
func (c *redisChild) kill() {
	_ = c.process.Process.Kill()
	_ = c.process.Wait()
}

// stop has the process end in good order.
func (c *redisChild) stop() {
	_ = c.in.Close()
	for c.out.Scan() {
	}
	if err := c.process.Wait(); err != nil {
		c.t.Errorf("the server ended with %v", err)
	}
}

// childState is what a server says of itself.
type childState struct {
	Nonce string
	Owns  bool
	Away  bool
	Hit   string // the copy that the question found; empty: none
	Tag   string
}

// do has the server read the key, storing value where it has no copy, or forget it, and say how it is.
func (c *redisChild) do(verb, key, value string) (s childState) {
	c.t.Helper()
	if _, err := fmt.Fprintln(c.in, verb, key, value); err != nil {
		c.t.Fatal(err)
	}
	for c.out.Scan() {
		if answer, ok := strings.CutPrefix(c.out.Text(), "> "); ok {
			if err := json.Unmarshal([]byte(answer), &s); err != nil {
				c.t.Fatal(err)
			}
			return s
		}
	}
	c.t.Fatalf("the server ended (%v)", c.out.Err())
	return s
}

// beServer is the other side, if this is the other process.
func beServer(t *testing.T) bool {
	folder := os.Getenv(childFolder)
	if folder == "" {
		return false
	}
	p := openCacheProcess(t, folder, RoleServer)
	defer p.close(t)
	rows := newVersioned[string](100)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var verb, value string
		var key int64
		if _, err := fmt.Sscan(in.Text(), &verb, &key, &value); err != nil {
			t.Fatal(err)
		}
		s := childState{Owns: p.owns(), Away: p.link.ready() == nil}
		if conn := p.link.current.Load(); conn != nil {
			s.Nonce = conn.nonce
		}
		switch verb {
		case "read":
			tg := p.cache.tags(context.Background(), []cacheKey{accountKey(UserID(key))})[0]
			s.Tag = tg.value
			var ok bool
			if s.Hit, ok = rows.get(accountKey(UserID(key)), tg); !ok {
				rows.put(accountKey(UserID(key)), tg, value)
			}
		case "forget":
			p.cache.forget(context.Background(), accountKey(UserID(key)))
		}
		text, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Println("> " + string(text))
	}
	return true
}

// ready waits until the server uses an embedded Redis other than the one of that nonce.
func (c *redisChild) ready(not string) (s childState) {
	c.t.Helper()
	soon(c.t, "the server has its Redis", func() bool {
		s = c.do("read", "1", "x")
		return s.Nonce != not && s.Tag != ""
	})
	return s
}

// TestF39TwoProcessesOneEmbeddedRedis starts two servers at once beside a tool that was there before: there is one
// Redis, all three use it, and what one forgets no other serves.
func TestF39TwoProcessesOneEmbeddedRedis(t *testing.T) {
	if beServer(t) {
		return
	}
	folder := cacheFolder(t)
	tool := openCacheProcess(t, folder, RoleTool)
	defer tool.close(t)
	if client := tool.link.client(); client != nil {
		t.Fatal("the tool has a Redis, and there is no server")
	}
	a, b := startServer(t, folder), startServer(t, folder)
	stateA, stateB := a.ready(""), b.ready("")
	if stateA.Nonce != stateB.Nonce || stateA.Owns == stateB.Owns {
		t.Fatalf("two servers, not one Redis: %+v, %+v", stateA, stateB)
	}
	soon(t, "the tool uses it too", func() bool {
		conn := tool.link.current.Load()
		return conn != nil && conn.nonce == stateA.Nonce && tool.cache.tags(t.Context(), []cacheKey{accountKey(5)})[0].ok
	})
	for name, forget := range map[string]func(){
		"a":        func() { a.do("forget", "5", "-") },
		"b":        func() { b.do("forget", "5", "-") },
		"the tool": func() { tool.cache.forget(t.Context(), accountKey(5)) },
	} {
		for _, server := range []*redisChild{a, b} {
			server.do("read", "5", "old")
			if s := server.do("read", "5", "old"); s.Hit == "" {
				t.Fatalf("no copy is used: %+v", s)
			}
		}
		tagA, tagB := a.do("read", "5", "old").Tag, b.do("read", "5", "old").Tag
		if tagTool := tool.cache.tags(t.Context(), []cacheKey{accountKey(5)})[0].value; tagA != tagB || tagA != tagTool {
			t.Errorf("three tags of one thing: %s, %s, %s", tagA, tagB, tagTool)
		}
		forget()
		for _, server := range []*redisChild{a, b} {
			if s := server.do("read", "5", "new"); s.Hit != "" || s.Tag == "" {
				t.Errorf("after %s forgot it a server answered %+v", name, s)
			}
		}
	}
	if raised := tool.epochs(t); raised != 2 {
		t.Errorf("cache_epoch was raised to %d in sum, although Redis was there", raised)
	}
	a.stop()
	b.stop()
	if _, err := os.Stat(filepath.Join(folder, "redis.json")); !os.IsNotExist(err) {
		t.Errorf("the last server left its address behind: %v", err)
	}
}

// TestKilledOwnerIsReplaced kills -9 the process that runs Redis: the other takes over, under another nonce and with
// nothing in it, and uses no copy from before.
func TestKilledOwnerIsReplaced(t *testing.T) {
	if beServer(t) {
		return
	}
	folder := cacheFolder(t)
	a := startServer(t, folder)
	first := a.ready("")
	b := startServer(t, folder)
	if s := b.ready(""); s.Owns || !first.Owns || s.Nonce != first.Nonce {
		t.Fatalf("%+v, %+v", first, s)
	}
	tool := openCacheProcess(t, folder, RoleTool)
	defer tool.close(t)
	b.do("read", "7", "old")
	if s := b.do("read", "7", "old"); s.Hit != "old" {
		t.Fatalf("%+v", s)
	}
	a.kill()
	second := b.ready(first.Nonce)
	if !second.Owns {
		t.Errorf("%+v", second)
	}
	if s := b.do("read", "7", "new"); s.Hit != "" {
		t.Errorf("a copy from before is used: %+v", s)
	}
	if s := b.do("read", "7", "new"); s.Hit != "new" {
		t.Errorf("the new Redis is not used: %+v", s)
	}
	soon(t, "the tool follows", func() bool {
		conn := tool.link.current.Load()
		return conn != nil && conn.nonce == second.Nonce
	})
	tool.cache.forget(t.Context(), accountKey(7))
	if s := b.do("read", "7", "newest"); s.Hit != "" {
		t.Errorf("the tool was not heard: %+v", s)
	}
	b.stop()
}

// TestToolWithoutServer: a tool starts no Redis, uses no copies, raises the epoch, and finds a server that comes later
// when it has something to forget, without having looked in between.
func TestToolWithoutServer(t *testing.T) {
	folder := cacheFolder(t)
	stale, err := json.Marshal(redisAddress{Addr: freeAddress(t), Password: "p", Nonce: "of one that was killed", PID: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "redis.json"), stale, 0o600); err != nil {
		t.Fatal(err)
	}
	tool := openCacheProcess(t, folder, RoleTool)
	defer tool.close(t)
	key := accountKey(9)
	mine := tool.cluster.For(9)
	if tg := tool.cache.tags(t.Context(), []cacheKey{key})[0]; tg.ok || tool.link.client() != nil {
		t.Fatalf("%+v, %v", tg, tool.link.client())
	}
	tool.cache.forget(t.Context(), key, viewerKey(9))
	for _, s := range tool.cluster.Shards() {
		want := int64(1)
		if s == mine {
			want = 2
		}
		if got := tool.epoch(t, s); got != want {
			t.Errorf("%s: cache_epoch is %d, not %d", s, got, want)
		}
	}
	tool.link.cancel() // from here only forget looks
	tool.link.done.Wait()

	server := openCacheProcess(t, folder, RoleServer)
	defer server.close(t)
	soon(t, "the server knows the epochs", func() bool { return server.knows(3) })
	server.read(key, func() int { return 1 })
	if _, hit := server.read(key, func() int { return 1 }); !hit {
		t.Error("the server does not use its copy")
	}
	tool.cache.forget(t.Context(), key)
	if v, hit := server.read(key, func() int { return 2 }); hit {
		t.Errorf("the server still has %d", v)
	}
	if got := tool.epoch(t, mine); got != 2 {
		t.Errorf("cache_epoch is %d, although the server's Redis was there", got)
	}
}

// TestEmbeddedAddress: only the owner's user may read it, and a process that ends in good order is followed at once.
func TestEmbeddedAddress(t *testing.T) {
	w := newCacheWorld(t, 0)
	one, two := w.processes[0], w.processes[1]
	file := filepath.Join(w.folder, "redis.json")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", info.Mode())
	}
	at, err := one.link.embedded.published()
	if err != nil || at.PID != os.Getpid() || len(at.Password) < 20 {
		t.Errorf("%+v, %v", at, err)
	}
	stranger := redis.NewClient(&redis.Options{Addr: at.Addr})
	defer stranger.Close()
	if err := stranger.Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without the password: %v", err)
	}
	generation := two.link.generation.Load()
	if err := one.link.embedded.close(); err != nil {
		t.Fatal(err)
	}
	two.link.look(t.Context())
	if !two.owns() || two.link.ready() == nil || two.link.generation.Load() == generation {
		t.Error("the other did not take over")
	}
	if now, err := two.link.embedded.published(); err != nil || now.Nonce == at.Nonce || now.Addr == at.Addr {
		t.Errorf("%+v after %+v, %v", now, at, err)
	}
}

// TestEmbeddedForgets: keys expire although nobody touches them, and too many keys are all dropped.
func TestEmbeddedForgets(t *testing.T) {
	w := newCacheWorld(t, 0)
	p := w.processes[0]
	key := []cacheKey{accountKey(3)}
	before := p.cache.tags(t.Context(), key)[0]
	back := func(by time.Duration) {
		p.link.looking.Lock()
		defer p.link.looking.Unlock()
		p.link.embedded.aged = p.link.embedded.aged.Add(-by)
		p.link.embedded.rest = 0
	}
	back(tagLife - time.Hour)
	p.link.look(t.Context())
	if now := p.cache.tags(t.Context(), key)[0]; now != before {
		t.Errorf("%+v became %+v before its time", before, now)
	}
	back(2 * time.Hour)
	p.link.look(t.Context())
	if now := p.cache.tags(t.Context(), key)[0]; now.value == before.value || !now.ok {
		t.Errorf("%+v outlived its day: %+v", before, now)
	}
	server := p.link.embedded.server.Load()
	for i := range embeddedKeys {
		if err := server.Set("k"+strconv.Itoa(i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	soon(t, "it is emptied", func() bool {
		p.link.look(t.Context())
		return server.Exists("k0") == false
	})
}

// TestRedisComesLate: a process starts without Redis and uses it when it is there.
func TestRedisComesLate(t *testing.T) {
	server := startRedis(t, false)
	server.kill()
	p := openCacheProcess(t, cacheFolder(t), RoleTool, server.addr)
	defer p.close(t)
	keys := []cacheKey{accountKey(1), accountKey(2)}
	for _, tg := range p.cache.tags(t.Context(), keys) {
		if tg.ok {
			t.Errorf("%+v, and there is no Redis", tg)
		}
	}
	server.start()
	soon(t, "Redis is used", func() bool { return p.cache.tags(t.Context(), keys)[1].ok })
	if got := p.cache.stats(); got.Unusable < 2 || got.Found+got.Created < 2 {
		t.Errorf("%+v", got)
	}
}

// TestRedisComesBack to one process before the other one knows it: what the other stores meanwhile without telling Redis
// is seen at once by readers of the first, who do without copies until everybody must have found out.
func TestRedisComesBack(t *testing.T) {
	w := newCacheWorld(t, 1)
	first, last := w.processes[0], w.processes[1]
	key := accountKey(1)
	row := 1
	load := func() int { return row }
	first.read(key, load)
	if _, hit := first.read(key, load); !hit {
		t.Fatal("the copy is not used")
	}
	w.servers[0].kill()
	soon(t, "both do without Redis", func() bool { return first.link.gone() && last.link.gone() })
	last.link.cancel() // it will not find out
	last.link.done.Wait()
	w.servers[0].start()
	var back time.Time
	soon(t, "the first finds out", func() bool {
		back = time.Now()
		return first.link.missed.Load() == 0
	})
	for first.link.ready() == nil && row < 1000 {
		first.read(key, load)
		row++
		if err := last.cache.forget(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if v, hit := first.read(key, load); hit && first.link.ready() == nil {
			t.Fatalf("%d from a copy, when %d was stored", v, row)
		}
		time.Sleep(10 * time.Millisecond)
	}
	if took := time.Since(back); took < 1500*time.Millisecond || took > 10*time.Second {
		t.Errorf("used again %s after it came back", took)
	}
}

// TestSilentRedis: a Redis that takes connections and never answers costs one request its patience and the others
// nothing; a writer tries every time and raises the epochs of exactly the shards concerned.
func TestSilentRedis(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	p := openCacheProcess(t, cacheFolder(t), RoleServer, listener.Addr().String())
	defer p.close(t)
	if p.link.ready() != nil {
		t.Error("a Redis that does not answer is thought well")
	}
	began := time.Now()
	for range 100 {
		if p.cache.tags(t.Context(), []cacheKey{accountKey(1)})[0].ok {
			t.Fatal("a tag from nowhere")
		}
	}
	if took := time.Since(began); took > redisPatience {
		t.Errorf("100 readers took %s", took)
	}
	for n := int64(1); n <= 2; n++ {
		p.cache.forget(t.Context(), accountKey(1), viewerKey(1), sessionKey(1))
		for _, s := range p.cluster.Shards() {
			want := int64(1)
			if s == p.cluster.For(1) {
				want += n
			}
			if got := p.epoch(t, s); got != want {
				t.Errorf("%s: cache_epoch is %d, not %d", s, got, want)
			}
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	p.cache.forget(gone, accountKey(1))
	if got := p.epoch(t, p.cluster.For(1)); got != 4 {
		t.Errorf("cache_epoch is %d: a caller that went away stopped it", got)
	}
}

// TestCallerGoesAway: that a request was given up says nothing about Redis.
func TestCallerGoesAway(t *testing.T) {
	onEachRedis(t, func(t *testing.T, servers int) {
		p := newCacheWorld(t, servers).processes[0]
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if tg := p.cache.tags(gone, []cacheKey{accountKey(1)})[0]; tg.ok {
			t.Errorf("%+v", tg)
		}
		if p.link.ready() == nil || p.cache.stats().Failures != 0 {
			t.Errorf("Redis is thought to be away: %+v", p.cache.stats())
		}
	})
}

// TestShardAwayToo: neither Redis nor the shard can be told, so that is tried until the shard is back, and once more by
// close.
func TestShardAwayToo(t *testing.T) {
	folder := cacheFolder(t)
	p := openCacheProcess(t, folder, RoleTool)
	p.cache.patience.Store(int64(20 * time.Millisecond))
	shard := p.cluster.For(1)
	forgetWhileAway := func() {
		locked, release, ended := make(chan bool), make(chan bool), make(chan error)
		go func() {
			ended <- p.cluster.Write(context.Background(), 1, func(context.Context, *sharding.Tx) error {
				close(locked)
				<-release
				return nil
			})
		}()
		<-locked
		before := p.epoch(t, shard)
		p.cache.forget(t.Context(), accountKey(1))
		p.cache.forget(t.Context(), accountKey(1))
		if got := p.epoch(t, shard); got != before {
			t.Errorf("cache_epoch is %d, not %d, under another's lock", got, before)
		}
		close(release)
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	forgetWhileAway()
	soon(t, "the epoch is raised", func() bool { return p.epoch(t, shard) > 1 })
	soon(t, "nothing is owed", func() bool {
		p.cache.raises[shard.ID()].mu.Lock()
		defer p.cache.raises[shard.ID()].mu.Unlock()
		return !p.cache.raises[shard.ID()].retrying
	})
	before := p.epoch(t, shard)
	forgetWhileAway()
	p.close(t)
	after := openCacheProcess(t, folder, RoleTool)
	defer after.close(t)
	if got := after.epoch(t, after.cluster.For(1)); got <= before {
		t.Errorf("cache_epoch is %d still: what was owed was not done", got)
	}
}

// TestEpochUnknown: without the shard's cache_epoch nobody uses copies.
func TestEpochUnknown(t *testing.T) {
	p := openCacheProcess(t, cacheFolder(t), RoleServer)
	key := accountKey(1)
	p.read(key, func() int { return 1 })
	if _, hit := p.read(key, func() int { return 1 }); !hit {
		t.Fatal("the copy is not used")
	}
	if err := p.cluster.Close(); err != nil {
		t.Fatal(err)
	}
	soon(t, "the copy is not used any more", func() bool {
		_, hit := p.read(key, func() int { return 2 })
		return !hit
	})
	if tg := p.cache.tags(t.Context(), []cacheKey{key})[0]; tg.ok {
		t.Errorf("%+v", tg)
	}
	if p.link.ready() == nil {
		t.Error("Redis is blamed for it")
	}
	p.cache.close()
	if err := p.link.close(); err != nil {
		t.Error(err)
	}
}

// TestReplicaBecomesMaster: the data behind a connection that stays becomes another server's.
func TestReplicaBecomesMaster(t *testing.T) {
	server, other := startRedis(t, false), startRedis(t, false)
	p := openCacheProcess(t, cacheFolder(t), RoleServer, server.addr)
	defer p.close(t)
	key := []cacheKey{accountKey(1)}
	before := p.cache.tags(t.Context(), key)[0]
	if err := other.admin.Set(t.Context(), p.cluster.ID()+":a:1", before.value, 0).Err(); err != nil { // an old copy of it
		t.Fatal(err)
	}
	p.cache.forget(t.Context(), key[0])
	host, port, _ := net.SplitHostPort(other.addr)
	if err := server.admin.ReplicaOf(t.Context(), host, port).Err(); err != nil {
		t.Fatal(err)
	}
	soon(t, "it is copied", func() bool { return server.admin.Get(t.Context(), p.cluster.ID()+":a:1").Val() == before.value })
	if err := server.admin.ReplicaOf(t.Context(), "no", "one").Err(); err != nil {
		t.Fatal(err)
	}
	p.link.look(t.Context())
	soon(t, "tags are usable", func() bool { return p.cache.tags(t.Context(), key)[0].ok })
	if now := p.cache.tags(t.Context(), key)[0]; now.value != before.value || now == before {
		t.Errorf("%+v came back as %+v", before, now)
	}
}

// BenchmarkTags42 takes the tags of a page, on the running Redis and on the embedded one; the yardstick is the bare MGET.
func BenchmarkTags42(b *testing.B) {
	for name, addrs := range map[string][]string{"redis": {realRedis(b)}, "embedded": nil} {
		b.Run(name, func(b *testing.B) {
			p := openCacheProcess(b, cacheFolder(b), RoleServer, addrs...)
			defer p.close(b)
			var keys []cacheKey
			var names []string
			for i := range 42 {
				keys = append(keys, messageKey(MessageID{Author: UserID(1000 + i), N: int64(i)}))
				names = append(names, p.cluster.ID()+":"+keys[i].name)
			}
			ctx := b.Context()
			const bare = 2000
			began := time.Now()
			for range bare {
				p.link.client().MGet(ctx, names...)
			}
			yardstick := float64(time.Since(began).Nanoseconds()) / bare
			for b.Loop() {
				for _, tg := range p.cache.tags(ctx, keys) {
					if !tg.ok {
						b.Fatal("Redis is away")
					}
				}
			}
			b.StopTimer()
			each := float64(b.Elapsed().Nanoseconds()) / float64(b.N)
			b.ReportMetric(each/yardstick, "yardsticks/op")
			p.cache.forget(ctx, keys...)
		})
	}
}

func BenchmarkVersionedGet(b *testing.B) {
	rows := newVersioned[*int](60_000)
	t := tag{value: "AAAAAAAAAAA", epoch: 1, ok: true}
	var keys []cacheKey
	for i := range 40_000 {
		keys = append(keys, messageKey(MessageID{Author: UserID(i), N: 1}))
		rows.put(keys[i], t, new(int))
	}
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if _, ok := rows.get(keys[i*7%len(keys)], t); !ok {
				b.Fatal("not found")
			}
		}
	})
}
