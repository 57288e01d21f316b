package copies

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// TestF39TwoProcessesOneEmbeddedRedis starts two servers at once beside a tool that was there before: there is one
// Redis, all three use it, and what one invalidates no other serves.
func TestF39TwoProcessesOneEmbeddedRedis(t *testing.T) {
	if beServer(t) {
		return
	}
	folder := newFolder(t)
	tool := openProcess(t, folder, false)
	defer tool.close(t)
	if client := tool.cache.link.client(); client != nil {
		t.Fatal("the tool has a Redis, and there is no server")
	}
	a, b := startServer(t, folder), startServer(t, folder)
	stateA, stateB := a.ready(""), b.ready("")
	if stateA.Nonce != stateB.Nonce || stateA.Owns == stateB.Owns {
		t.Fatalf("two servers, not one Redis: %+v, %+v", stateA, stateB)
	}
	soon(t, "the tool uses it too", func() bool {
		conn := tool.cache.link.current.Load()
		return conn != nil && conn.nonce == stateA.Nonce && tool.cache.Tags(t.Context(), []Key{keyOf("a", 5)})[0].ok
	})
	for name, invalidate := range map[string]func(){
		"a":        func() { a.do("invalidate", "5", "-") },
		"b":        func() { b.do("invalidate", "5", "-") },
		"the tool": func() { tool.cache.Invalidate(t.Context(), keyOf("a", 5)) },
	} {
		for _, server := range []*child{a, b} {
			server.do("read", "5", "old")
			if s := server.do("read", "5", "old"); s.Hit == "" {
				t.Fatalf("no copy is used: %+v", s)
			}
		}
		tagA, tagB := a.do("read", "5", "old").Tag, b.do("read", "5", "old").Tag
		if tagTool := tool.cache.Tags(t.Context(), []Key{keyOf("a", 5)})[0].value; tagA != tagB || tagA != tagTool {
			t.Errorf("three tags of one thing: %s, %s, %s", tagA, tagB, tagTool)
		}
		invalidate()
		for _, server := range []*child{a, b} {
			if s := server.do("read", "5", "new"); s.Hit != "" || s.Tag == "" {
				t.Errorf("after %s invalidated it a server answered %+v", name, s)
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
	folder := newFolder(t)
	a := startServer(t, folder)
	first := a.ready("")
	b := startServer(t, folder)
	if s := b.ready(""); s.Owns || !first.Owns || s.Nonce != first.Nonce {
		t.Fatalf("%+v, %+v", first, s)
	}
	tool := openProcess(t, folder, false)
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
		conn := tool.cache.link.current.Load()
		return conn != nil && conn.nonce == second.Nonce
	})
	tool.cache.Invalidate(t.Context(), keyOf("a", 7))
	if s := b.do("read", "7", "newest"); s.Hit != "" {
		t.Errorf("the tool was not heard: %+v", s)
	}
	b.stop()
}

// TestToolWithoutServer: a tool starts no Redis, uses no copies, raises the epoch, and finds a server that comes later
// when it has something to invalidate, without having looked in between.
func TestToolWithoutServer(t *testing.T) {
	folder := newFolder(t)
	stale, err := json.Marshal(redisAddress{Addr: freeAddress(t), Password: "p", Nonce: "of one that was killed", PID: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "redis.json"), stale, 0o600); err != nil {
		t.Fatal(err)
	}
	tool := openProcess(t, folder, false)
	defer tool.close(t)
	key := keyOf("a", 9)
	mine := tool.cluster.For(9)
	if tg := tool.cache.Tags(t.Context(), []Key{key})[0]; tg.ok || tool.cache.link.client() != nil {
		t.Fatalf("%+v, %v", tg, tool.cache.link.client())
	}
	tool.cache.Invalidate(t.Context(), key, keyOf("v", 9))
	for _, s := range tool.cluster.Shards() {
		want := int64(1)
		if s == mine {
			want = 2
		}
		if got := tool.epoch(t, s); got != want {
			t.Errorf("%s: cache_epoch is %d, not %d", s, got, want)
		}
	}
	tool.cache.link.cancel() // from here only Invalidate looks
	tool.cache.link.done.Wait()

	server := openProcess(t, folder, true)
	defer server.close(t)
	soon(t, "the server knows the epochs", func() bool { return server.knows(3) })
	server.read(key, func() int { return 1 })
	if _, hit := server.read(key, func() int { return 1 }); !hit {
		t.Error("the server does not use its copy")
	}
	tool.cache.Invalidate(t.Context(), key)
	if v, hit := server.read(key, func() int { return 2 }); hit {
		t.Errorf("the server still has %d", v)
	}
	if got := tool.epoch(t, mine); got != 2 {
		t.Errorf("cache_epoch is %d, although the server's Redis was there", got)
	}
}

// TestEmbeddedAddress: only the owner's user may read it, and a process that ends in good order is followed at once.
func TestEmbeddedAddress(t *testing.T) {
	w := newWorld(t, 0)
	one, two := w.processes[0], w.processes[1]
	file := filepath.Join(w.folder, "redis.json")
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %s", info.Mode())
	}
	at, err := one.cache.link.embedded.address()
	if err != nil || at.PID != os.Getpid() || len(at.Password) < 20 {
		t.Errorf("%+v, %v", at, err)
	}
	stranger := redis.NewClient(&redis.Options{Addr: at.Addr})
	defer stranger.Close()
	if err := stranger.Ping(t.Context()).Err(); err == nil || !strings.Contains(err.Error(), "NOAUTH") {
		t.Errorf("without the password: %v", err)
	}
	generation := two.cache.link.generation.Load()
	if err := one.cache.link.embedded.close(); err != nil {
		t.Fatal(err)
	}
	two.cache.link.check(t.Context())
	if !two.owns() || two.cache.link.ready() == nil || two.cache.link.generation.Load() == generation {
		t.Error("the other did not take over")
	}
	if now, err := two.cache.link.embedded.address(); err != nil || now.Nonce == at.Nonce || now.Addr == at.Addr {
		t.Errorf("%+v after %+v, %v", now, at, err)
	}
}

// TestEmbeddedExpires: keys expire although nobody touches them, and too many keys are all dropped.
func TestEmbeddedExpires(t *testing.T) {
	w := newWorld(t, 0)
	p := w.processes[0]
	key := []Key{keyOf("a", 3)}
	before := p.cache.Tags(t.Context(), key)[0]
	back := func(by time.Duration) {
		p.cache.link.discovering.Lock()
		defer p.cache.link.discovering.Unlock()
		p.cache.link.embedded.aged = p.cache.link.embedded.aged.Add(-by)
		p.cache.link.embedded.rest = 0
	}
	back(tagLife - time.Hour)
	p.cache.link.check(t.Context())
	if now := p.cache.Tags(t.Context(), key)[0]; now != before {
		t.Errorf("%+v became %+v before its time", before, now)
	}
	back(2 * time.Hour)
	p.cache.link.check(t.Context())
	if now := p.cache.Tags(t.Context(), key)[0]; now.value == before.value || !now.ok {
		t.Errorf("%+v outlived its day: %+v", before, now)
	}
	server := p.cache.link.embedded.server.Load()
	for i := range embeddedKeys {
		if err := server.Set("k"+strconv.Itoa(i), "v"); err != nil {
			t.Fatal(err)
		}
	}
	soon(t, "it is emptied", func() bool {
		p.cache.link.check(t.Context())
		return server.Exists("k0") == false
	})
}
