package copies

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/gofrs/flock"
	"github.com/redis/go-redis/v9"
)

// embeddedRedis is the Redis of a data folder without a configured one. The process that holds the lock runs it and
// publishes where it is; all others use that one. It begins empty each time, under a new nonce.
type embeddedRedis struct {
	own    bool // this process may run it
	file   string
	lock   *flock.Flock
	server atomic.Pointer[miniredis.Miniredis] // nil: another process owns it, or nobody
	aged   time.Time                           // up to when keys have expired in it
	rest   time.Duration                       // how long until keys expire in it again
}

// redisAddress is what the owner publishes, for its own user only.
type redisAddress struct {
	Addr     string `json:"addr"`
	Password string `json:"password"`
	Nonce    string `json:"nonce"`
	PID      int    `json:"pid"`
}

func newEmbedded(folder string, own bool) *embeddedRedis {
	return &embeddedRedis{own: own, file: AddressFile(folder), lock: flock.New(filepath.Join(folder, "redis.lock"))}
}

// AddressFile is where the process that runs a data folder's embedded Redis publishes its address and password.
func AddressFile(folder string) string { return filepath.Join(folder, "redis.json") }

// The embedded Redis evicts nothing, so it is emptied above this number of keys, some 30 MiB. With so many of them
// letting time pass in it takes 40 ms, in which it answers nobody.
const embeddedKeys = 100_000

// discover makes current what it should be: one's own Redis when nobody else holds the lock, otherwise the published one.
func (l *link) discover() error {
	l.discovering.Lock()
	defer l.discovering.Unlock()
	e := l.embedded
	if e.server.Load() != nil {
		e.expire()
		return nil
	}
	if e.own {
		mine, err := e.lock.TryLock()
		if err != nil {
			return err
		}
		if mine {
			return l.start()
		}
	}
	at, err := e.address()
	if errors.Is(err, fs.ErrNotExist) {
		l.connect(nil)
		return nil
	}
	if err != nil {
		return err
	}
	if conn := l.current.Load(); conn != nil && conn.nonce == at.Nonce {
		return nil // if its owner is gone the next exchange says so
	}
	owned, err := e.owned()
	if err != nil {
		return err
	}
	if !owned {
		l.connect(nil) // the owner was killed and left its address behind
		return nil
	}
	l.connect(&at)
	return nil
}

// successor looks whether another embedded Redis has come, and reports whether there is a client other than that one.
func (l *link) successor(before *connection) bool {
	if l.embedded == nil {
		return false
	}
	if err := l.discover(); err != nil {
		return false
	}
	now := l.current.Load()
	return now != nil && now != before
}

// connect replaces the client, with nothing for nil. Copies under tags of the one before are worthless.
func (l *link) connect(at *redisAddress) {
	var conn *connection
	if at != nil {
		// Through the socket in the owner's own process too: on a pipe without a buffer a long pipeline of commands and the
		// answers to it would wait for each other.
		conn = &connection{redis.NewUniversalClient(clientOptions([]string{at.Addr}, at.Password)), at.Nonce}
	}
	if conn == nil && l.current.Load() == nil {
		return
	}
	l.generation.Add(1)
	if old := l.current.Swap(conn); old != nil {
		_ = old.Close()
	}
	l.away.Store(false)
}

// start runs Redis in this process, which holds the lock, and gives the lock back when that fails.
func (l *link) start() error {
	e := l.embedded
	at := redisAddress{Password: rand.Text(), Nonce: rand.Text(), PID: os.Getpid()}
	server := miniredis.NewMiniRedis()
	server.RequireAuth(at.Password)
	if err := server.StartAddr("127.0.0.1:0"); err != nil {
		return errors.Join(err, e.lock.Unlock())
	}
	at.Addr = server.Addr()
	if err := e.publish(at); err != nil {
		server.Close()
		return errors.Join(err, e.lock.Unlock())
	}
	e.server.Store(server)
	e.aged, e.rest = time.Now(), 0
	l.connect(&at)
	return nil
}

// address reads the address of the present owner, or of one that was killed.
func (e *embeddedRedis) address() (redisAddress, error) {
	var at redisAddress
	text, err := os.ReadFile(e.file)
	if err != nil {
		return at, err
	}
	return at, json.Unmarshal(text, &at)
}

func (e *embeddedRedis) publish(at redisAddress) error {
	text, err := json.Marshal(at)
	if err != nil {
		return err
	}
	// Only the holder of the lock writes, so a left-over of a killed one may be overwritten.
	if err := os.WriteFile(e.file+".new", text, 0o600); err != nil {
		return err
	}
	return os.Rename(e.file+".new", e.file)
}

// owned reports whether somebody owns Redis. The shared lock hinders only a server that tries in this very instant; it
// tries again.
func (e *embeddedRedis) owned() (bool, error) {
	probe := flock.New(e.lock.Path())
	free, err := probe.TryRLock()
	if err != nil {
		return false, err
	}
	return !free, probe.Unlock()
}

// expire lets time pass in one's own Redis, so that keys expire. The library's own way of doing that (ClockTTL) walks
// over all keys at every command; here one walk takes at most a hundredth of the time.
func (e *embeddedRedis) expire() {
	began := time.Now()
	if began.Sub(e.aged) < e.rest {
		return
	}
	e.server.Load().FastForward(began.Sub(e.aged))
	e.aged, e.rest = began, max(time.Second, 100*time.Since(began))
}

// ping asks whether Redis answers, and keeps one's own small.
func (e *embeddedRedis) ping(ctx context.Context, client redis.UniversalClient) error {
	keys, err := client.DBSize(ctx).Result()
	if err == nil && keys > embeddedKeys && e.server.Load() != nil {
		return client.FlushDB(ctx).Err()
	}
	return err
}

// close stops one's own Redis before it lets another process begin one.
func (e *embeddedRedis) close() error {
	server := e.server.Swap(nil)
	if server == nil {
		return nil
	}
	err := os.Remove(e.file)
	server.Close()
	return errors.Join(err, e.lock.Unlock())
}
