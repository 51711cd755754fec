package redistest

import (
	"testing"
)

func TestSentinelsElectAnotherMaster(t *testing.T) {
	t.Parallel()
	g := StartSentinels(t, 2)
	first := g.Master()
	if first != g.Servers[0] {
		t.Fatalf("the master is %s, want the first server, %s", first.Addr(), g.Servers[0].Addr())
	}
	c := g.Client()
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := c.Do(t.Context(), "WAIT", 2, 10_000).Int(); err != nil || n != 2 {
		t.Fatalf("%d replicas confirm, %v; want 2", n, err)
	}
	first.Kill()
	settled(t, "another master", func() (bool, error) { return g.Master() != first, nil })
	settled(t, "what the first one had", func() (bool, error) {
		v, err := c.Get(t.Context(), "k").Result()
		return v == "v", err
	})
}

func TestClusterElectsAnotherMasterAndMovesSlots(t *testing.T) {
	t.Parallel()
	g := StartCluster(t, 3)
	c := g.Client()
	if err := c.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	slot := g.Slot("k")
	first := g.MasterOf(slot)
	var other *Server
	for _, s := range g.Servers[:3] {
		if s != first {
			other = s
		}
	}
	moved := 0
	g.Move(slot, first, other, func() { moved++ })
	if moved != 1 || g.Servers[0].Client().ClusterCountKeysInSlot(t.Context(), slot).Val() > 0 && other != g.Servers[0] {
		t.Errorf("%d keys were moved, want 1", moved)
	}
	settled(t, "the nodes to know where the slot is", func() (bool, error) { return g.MasterOf(slot) == other, nil })
	if n, err := other.Client().Do(t.Context(), "WAIT", 1, 10_000).Int(); err != nil || n != 1 {
		t.Fatalf("%d replicas confirm, %v; want 1", n, err)
	}
	other.Kill()
	settled(t, "another master", func() (bool, error) {
		m := g.MasterOf(slot)
		return m != nil && m != other, nil
	})
	settled(t, "what the first one had", func() (bool, error) {
		c.ReloadState(t.Context())
		v, err := c.Get(t.Context(), "k").Result()
		return v == "v", err
	})
}
