package copies

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"socialctl/sharding/shardingtest"
)

// redisOfTest is a Redis server of the test's own.
type redisOfTest interface {
	address() string
	flush()
	remember()                       // writes the file from which it starts again
	restart()                        // ends without warning and comes back with what it remembered
	refuse(commands ...string)       // refuses these from now on, and no others
	contents() map[string]string     // what it holds
	fill(contents map[string]string) // replaces what it holds
}

// redisServer is a redis-server of the test's own, which it may stop and flush.
type redisServer struct {
	t          testing.TB
	executable string
	args       []string
	addr       string
	running    *exec.Cmd
	admin      *redis.Client // of a user of its own: the default one may be refused what the test needs
}

// realRedis is the address of the Redis that scripts/services runs.
func realRedis(t testing.TB) string { return shardingtest.Service(t, "SOCIALCTL_TEST_REDIS") }

// startRedis starts a Redis of the test's own.
func startRedis(t testing.TB, clustered bool) *redisServer {
	t.Helper()
	program, err := exec.LookPath("redis-server")
	if err != nil {
		t.Fatalf("this test starts a Redis of its own: %v", err)
	}
	_, port, _ := net.SplitHostPort(freeAddress(t))
	folder := t.TempDir()
	s := &redisServer{t: t, executable: program, addr: "127.0.0.1:" + port,
		args: []string{"--port", port, "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"}}
	if clustered {
		_, bus, _ := net.SplitHostPort(freeAddress(t))
		s.args = append(s.args, "--cluster-enabled", "yes", "--cluster-port", bus)
	}
	s.start()
	t.Cleanup(func() {
		s.kill()
		_ = s.admin.Close()
	})
	return s
}

func freeAddress(t testing.TB) string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func (s *redisServer) start() {
	s.running = exec.Command(s.executable, s.args...)
	if err := s.running.Start(); err != nil {
		s.t.Fatal(err)
	}
	anybody := redis.NewClient(&redis.Options{Addr: s.addr, DialerRetries: 1, MaxRetries: -1})
	defer anybody.Close()
	soon(s.t, "redis-server answers", func() bool { return anybody.Ping(context.Background()).Err() == nil })
	s.must(anybody.Do(context.Background(), "acl", "setuser", "test", "on", ">test", "~*", "&*", "+@all").Err())
	s.admin = redis.NewClient(&redis.Options{Addr: s.addr, Username: "test", Password: "test", DialerRetries: 1, MaxRetries: -1})
}

func (s *redisServer) kill() {
	_ = s.running.Process.Kill()
	_ = s.running.Wait()
}

func (s *redisServer) address() string { return s.addr }

func (s *redisServer) flush() {
	s.must(s.admin.FlushAll(context.Background()).Err())
}

func (s *redisServer) remember() {
	s.must(s.admin.Save(context.Background()).Err())
}

func (s *redisServer) restart() {
	s.kill()
	_ = s.admin.Close()
	s.start()
}

func (s *redisServer) refuse(commands ...string) {
	rules := []any{"acl", "setuser", "default", "allcommands"}
	for _, command := range commands {
		rules = append(rules, "-"+command)
	}
	s.must(s.admin.Do(context.Background(), rules...).Err())
}

func (s *redisServer) contents() map[string]string {
	all := map[string]string{}
	names, err := s.admin.Keys(context.Background(), "*").Result()
	s.must(err)
	for _, name := range names {
		all[name] = s.admin.Get(context.Background(), name).Val()
	}
	return all
}

func (s *redisServer) fill(contents map[string]string) {
	s.flush()
	for name, value := range contents {
		s.must(s.admin.Set(context.Background(), name, value, 0).Err())
	}
}

func (s *redisServer) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// joinRedis makes one Redis Cluster of the servers.
func joinRedis(t testing.TB, servers []*redisServer) {
	ctx := t.Context()
	_, port, _ := net.SplitHostPort(servers[0].addr)
	bus := servers[0].args[len(servers[0].args)-1]
	for i, s := range servers {
		err := s.admin.ClusterAddSlotsRange(ctx, i*16384/len(servers), (i+1)*16384/len(servers)-1).Err()
		if err == nil && i > 0 {
			err = s.admin.Do(ctx, "cluster", "meet", "127.0.0.1", port, bus).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	clusterAgrees(t, servers)
}

func clusterAgrees[S redisOfTest](t testing.TB, servers []S) {
	soon(t, "the nodes agree", func() bool {
		for _, s := range servers {
			info, err := redisOfTest(s).(*redisServer).admin.ClusterInfo(context.Background()).Result()
			if err != nil || !strings.Contains(info, "cluster_state:ok") || !strings.Contains(info, fmt.Sprintf("cluster_known_nodes:%d", len(servers))) {
				return false
			}
		}
		return true
	})
}
