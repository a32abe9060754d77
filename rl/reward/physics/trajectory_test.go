package physics

import (
	_ "embed"
	"encoding/json"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/aha-go/aha/rl/reward"
)

//go:embed testdata/trajectories.json
var trajectoriesText []byte

var coordinates = []string{"x", "y", "z"}

func TestMotionsOfScipyObeyAndSpoiltOnesDoNot(t *testing.T) {
	var cases []struct {
		Law          string
		Parameters   []float64
		X, V         []float64
		Until        float64
		Fault, Table string
	}
	if err := json.Unmarshal(trajectoriesText, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) != 20 {
		t.Fatalf("%d trajectories", len(cases))
	}
	for _, c := range cases {
		laws := map[string]func(p ...float64) Motion{
			"uniform":    UniformAcceleration,
			"oscillator": func(p ...float64) Motion { return Oscillator(p[0], p[1]) },
			"gravity":    func(p ...float64) Motion { return CentralGravity(p[0]) },
			"drag":       func(p ...float64) Motion { return QuadraticDrag(p[0], p[1:]...) },
		}
		problem := TrajectoryProblem{Coordinates: coordinates[:len(c.X)], Laws: []Law{laws[c.Law](c.Parameters...)},
			Start: &State{X: c.X, V: c.V}, Until: c.Until, Rows: 10}
		v := ScoreTrajectory(
			t.Context(),
			reward.Sample{Completion: "<think>?</think>So:\n```csv\n" + c.Table + "\n```", Answer: problem},
		)
		var broken *LawError
		if c.Fault == "" && v != (reward.Verdict{Value: 1, Status: reward.Correct}) ||
			c.Fault != "" && (v.Status != reward.Wrong || v.Value != 0 || !errors.As(v.Err, &broken) || broken.Row == 0) {
			t.Errorf("%s %v, fault %q: %+v", c.Law, c.Parameters, c.Fault, v)
		}
		// A conservation law detects the fault if the fault changes the conserved quantity.
		var law Law
		switch {
		case c.Law == "gravity":
			law = AngularMomentum()
		case c.Law == "oscillator" && c.Parameters[1] == 0:
			law = Energy(func(x []float64) float64 { return c.Parameters[0] * c.Parameters[0] * x[0] * x[0] / 2 })
		case c.Law == "uniform" && c.Parameters[0] == -9.81:
			law = Energy(func(x []float64) float64 { return 9.81 * x[0] })
		default:
			continue
		}
		problem.Laws = []Law{law}
		tr, err := ParseTrajectory(c.Table, problem.Coordinates)
		if err != nil {
			t.Fatal(err)
		}
		if err := problem.Check(tr); (err == nil) != (c.Fault == "") {
			t.Errorf("%s %v, fault %q: %v", c.Law, c.Parameters, c.Fault, err)
		}
	}
}

func TestMomentumAndConsistency(t *testing.T) {
	const head = "t,x,y,vx,vy\n"
	collide := TrajectoryProblem{Coordinates: coordinates[:2], Laws: []Law{Momentum(2, 1)}}
	moves := TrajectoryProblem{Laws: []Law{Consistent{}}}
	for _, c := range []struct {
		problem TrajectoryProblem
		table   string
		obeys   bool
	}{
		{collide, head + "0,-1,1,3,0\n1,2,1,3,0\n2,3,5,1,4\n", true},
		{collide, head + "0,-1,1,3,0\n1,2,1,3,0\n2,3,5,1,3\n", false},
		{moves, "t,x,vx\n0,0,0\n1,0.5,1\n2,2,2\n", true},
		{moves, "t,x,vx\n0,0,0\n1,0.6,1\n2,2,2\n", false},
	} {
		v := ScoreTrajectory(t.Context(), reward.Sample{Completion: "<answer>" + c.table + "</answer>", Answer: c.problem})
		if (v.Status == reward.Correct) != c.obeys || (v.Status == reward.Wrong) == c.obeys {
			t.Errorf("%q: %+v", c.table, v)
		}
	}
}

func TestTablesHaveUnitsInAnyOrder(t *testing.T) {
	tr, err := ParseTrajectory(
		" | vx [km/h] | t (min) | x [km] |\n|---|:--|---|\n| 36 | 1 | 2.5 |\n| -72 | 2 | -1e-3 |\n",
		[]string{"x"},
	)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range [][3]float64{{60, 2500, 10}, {120, -1, -20}} {
		got := [3]float64{tr.T[i], tr.X[i][0], tr.V[i][0]}
		for j := range got {
			if math.Abs(got[j]-want[j]) > 1e-9 {
				t.Errorf("row %d is %v, want %v", i, got, want)
			}
		}
	}
	if tr, err := ParseTrajectory("t x[deg]\n0 180", []string{"x"}); err != nil || math.Abs(tr.X[0][0]-math.Pi) > 1e-15 {
		t.Errorf("%v, %v", tr, err)
	}
	for text, want := range map[string]string{
		"t,y\n0,0":           `column "y"`,
		"t,x,x\n0,0,0":       `column "x"`,
		"t\n0":               "want each of t, x",
		"x\n0":               "want each of t, x",
		"t,x\n0":             "line 2 of the trajectory has 1 numbers, want 2",
		"t,x\n0,a":           `"a" is not a number`,
		"t,x\n0,NaN":         `"NaN" is not a number`,
		"t,x\n0,1e999":       `"1e999" is not a number`,
		"t,x\n1,0\n1,0":      "line 3 of the trajectory: time does not ascend",
		"t,x\n":              "no rows",
		"":                   "no rows",
		"t [m], x\n0,0":      "column t of the trajectory: physics: dimension m, want s",
		"t, x [kg]\n0,0":     "dimension kg, want m",
		"t, x [furlong]\n0,": "not a unit",
		"t, x [m\n0,":        "closing bracket",
	} {
		if _, err := ParseTrajectory(text, []string{"x"}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
	if _, err := ParseTrajectory("t,x\n"+strings.Repeat("0,0\n", maxRows+1), []string{"x"}); err == nil {
		t.Error("read too many rows")
	}
}

func TestTrivialTrajectoriesDoNotCount(t *testing.T) {
	problem := TrajectoryProblem{
		Laws:  []Law{UniformAcceleration(-10)},
		Start: &State{X: []float64{20}, V: []float64{0}},
		Until: 2,
		Rows:  4,
	}
	for table, says := range map[string]string{
		"t,x,vx\n0,20,0\n1,15,-10\n2,0,-20":                       "has 3 rows, want 4",
		"t,x,vx\n0,20,0\n0.1,19.95,-1\n0.2,19.8,-2\n0.3,19.55,-3": "ends at 0.3 s, want 2 s",
		"t,x,vx\n0,0,0\n1,-5,-10\n1.5,-11.25,-15\n2,-20,-20":      "begins elsewhere",
		"t,x,vx\n0,20,1\n1,16,-9\n1.5,10.25,-14\n2,2,-19":         "begins elsewhere",
		"t,x,vx\n1,20,0\n2,15,-10\n2.5,8.75,-15\n3,0,-20":         "begins at 1 s, want 0 s",
		"t,x,vx\n0,20,0\n1,15,-10\n1.5,8.75,-15\n2,0,-20":         "",
	} {
		v := ScoreTrajectory(t.Context(), reward.Sample{Completion: "<answer>" + table + "</answer>", Answer: problem})
		var shape *ShapeError
		if says == "" && v.Status != reward.Correct || says != "" &&
			(v.Status != reward.Wrong || !errors.As(v.Err, &shape) || !strings.Contains(v.Err.Error(), says)) {
			t.Errorf("%q: %+v, want %q", table, v, says)
		}
	}
}

func TestLawsThatCannotBeAppliedAreUnparseable(t *testing.T) {
	table := "<answer>t,x\n0,1\n1,1\n2,1</answer>"
	fall := UniformAcceleration(0)
	for _, law := range []Law{fall, Energy(norm), Consistent{}} {
		v := ScoreTrajectory(t.Context(), reward.Sample{Completion: table, Answer: TrajectoryProblem{Laws: []Law{law}}})
		if v.Status != reward.Unparseable || !errors.Is(v.Err, errNoVelocities) {
			t.Errorf("%T: %+v", law, v)
		}
	}
	fall.V = []float64{0}
	s := reward.Sample{Completion: table, Answer: TrajectoryProblem{Laws: []Law{fall}}}
	if v := ScoreTrajectory(t.Context(), s); v.Status != reward.Correct {
		t.Errorf("%+v", v)
	}
	// A start at the centre has no acceleration.
	centre := "<answer>t,x,vx\n0,0,0\n1,1,1\n2,1,1</answer>"
	v := ScoreTrajectory(
		t.Context(),
		reward.Sample{Completion: centre, Answer: TrajectoryProblem{Laws: []Law{CentralGravity(1)}}},
	)
	if v.Status != reward.Unparseable || !strings.Contains(v.Err.Error(), "cannot be integrated") {
		t.Errorf("%+v", v)
	}
}

func TestIllFormedTrajectoryProblemsAreErrors(t *testing.T) {
	laws := []Law{Consistent{}}
	for want, answer := range map[string]any{
		"is <nil>":        nil,
		"Laws is empty":   TrajectoryProblem{},
		"Tolerance is -1": TrajectoryProblem{Laws: laws, Tolerance: -1},
		"Rows is -1":      TrajectoryProblem{Laws: laws, Rows: -1},
		"Start has 2":     TrajectoryProblem{Laws: laws, Start: &State{X: []float64{1, 2}}},
	} {
		v := ScoreTrajectory(t.Context(), reward.Sample{Completion: "<answer>t,x\n0,0</answer>", Answer: answer})
		if v.Status != reward.Error || !strings.Contains(v.Err.Error(), want) {
			t.Errorf("%+v, want an Error with %q", v, want)
		}
	}
	v := ScoreTrajectory(t.Context(), reward.Sample{Completion: "t,x", Answer: TrajectoryProblem{Laws: laws}})
	if v.Status != reward.Unparseable {
		t.Errorf("%+v without a table", v)
	}
}

func FuzzParseTrajectory(f *testing.F) {
	f.Add("t [s], x [m], vx (km/h)\n0,1,2\n|1|2|3|")
	f.Fuzz(func(t *testing.T, s string) {
		tr, err := ParseTrajectory(s, []string{"x"})
		if err == nil && (len(tr.T) == 0 || len(tr.X) != len(tr.T) || tr.V != nil && len(tr.V) != len(tr.T)) {
			t.Errorf("%q: %+v", s, tr)
		}
	})
}
