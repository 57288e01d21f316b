package copies

import (
	"context"

	"github.com/redis/go-redis/v9"
)

// lookup is one taking of tags. Everything in a tag is read before the rows are loaded that will be stored under it.
type lookup struct {
	client     redis.UniversalClient // nil: Redis is away
	generation uint64
	names      []string
	tags       []Tag
	created    int
	done       chan error // of a lookup that shares an exchange
}

func (c *Cache) lookup(keys []Key) *lookup {
	l := &lookup{generation: c.link.generation.Load(), client: c.link.ready()}
	if l.client == nil {
		return l
	}
	l.names, l.tags = make([]string, len(keys)), make([]Tag, len(keys))
	for i, key := range keys {
		shard := c.cluster.For(key.Owner)
		epoch, known := shard.CacheEpoch()
		l.names[i] = c.prefix + key.Name
		l.tags[i] = Tag{epoch: epoch, shard: shard.ID(), generation: l.generation, ok: known}
	}
	return l
}

// fetch takes the tags that exist.
func (l *lookup) fetch(ctx context.Context) error {
	single, ok := l.client.(*redis.Client)
	if !ok { // the slots of a Redis Cluster lie on many nodes
		pipe := l.client.Pipeline()
		for _, name := range l.names {
			pipe.Get(ctx, name)
		}
		commands, _ := pipe.Exec(ctx)
		return l.take(commands)
	}
	values, err := single.MGet(ctx, l.names...).Result()
	if err != nil {
		return err
	}
	for i, v := range values {
		l.tags[i].value, _ = v.(string)
	}
	return nil
}

func (l *lookup) take(commands []redis.Cmder) error {
	for i, command := range commands {
		value, err := command.(*redis.StringCmd).Result()
		if err != nil && err != redis.Nil {
			return err
		}
		l.tags[i].value = value
	}
	return nil
}

// create makes the tags that are missing. After a restart of Redis the pool holds dead connections, so it tries once
// more at once, with other tags.
func (l *lookup) create(ctx context.Context) error {
	if l.createOnce(ctx) == nil {
		return nil
	}
	return l.createOnce(ctx)
}

// setOnce is a command that the library must not send again when a connection breaks before the answer: it may have been
// carried out, and the tag have been used and deleted since. Tags are never made twice.
type setOnce struct{ *redis.BoolCmd }

// NoRetry keeps the library from sending the command, and others that go with it, again.
func (setOnce) NoRetry() bool { return true }

// createOnce sends each tag once. Whoever comes second takes what the first one made.
func (l *lookup) createOnce(ctx context.Context) error {
	type making struct {
		tag  *Tag
		mine string
		set  *redis.BoolCmd
		get  *redis.StringCmd
	}
	var missing []making
	var pipe redis.Pipeliner
	for i := range l.tags {
		t := &l.tags[i]
		if t.value != "" || !t.ok {
			continue
		}
		if pipe == nil {
			pipe = l.client.Pipeline()
		}
		mine := newTag()
		set := redis.NewBoolCmd(ctx, "set", l.names[i], mine, "ex", int(tagLife.Seconds()), "nx")
		_ = pipe.Process(ctx, setOnce{set})
		missing = append(missing, making{t, mine, set, pipe.Get(ctx, l.names[i])})
	}
	if pipe == nil {
		return nil
	}
	_, _ = pipe.Exec(ctx) // each command has its own error
	for _, m := range missing {
		made, err := m.set.Result()
		if err != nil {
			return err
		}
		if made {
			m.tag.value = m.mine
			l.created++
			continue
		}
		m.tag.value, err = m.get.Result()
		if err != nil && err != redis.Nil {
			return err
		}
		m.tag.ok = err == nil // deleted in between: this reader stores nothing
	}
	return nil
}
