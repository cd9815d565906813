/* Three bandit algorithms in plain C: the yardstick of `regrax bench bandits`.
 *
 *   cc -O3 -march=native -pthread -o bandits bandits.c -lm
 *   ./bandits ALGORITHM SEEDS HORIZON THREADS ROOT_SEED MEAN_1 ... MEAN_K
 *
 * ALGORITHM is ucb1, thompson, exp3 or exp3_cached. One seed is one run of HORIZON rounds against Bernoulli arms; the
 * seeds are split evenly over THREADS threads. Prints one JSON object: seconds on the clock (from before the first
 * thread starts until the last has ended), and the mean and the unbiased variance over seeds of the pseudo-regret.
 *
 * One seed at a time, no hand-written vector code. Arms with equal index: the lowest number wins. Exit status: 0; 2 for
 * a wrong call; 1 when memory or a thread cannot be had.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_ARMS 64
#define MAX_THREADS 256

/* ---- random numbers: xoshiro256+ (Blackman and Vigna 2021), its state filled by splitmix64 ---- */

typedef struct {
  uint64_t s[4];
  double spare; /* the second normal of the polar method, NAN when there is none */
} Random;

static uint64_t splitmix64(uint64_t *state) {
  uint64_t z = (*state += 0x9e3779b97f4a7c15u);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

static Random random_from(uint64_t root, uint64_t seed) {
  uint64_t state = root;
  state = splitmix64(&state) ^ seed;
  Random random;
  for (int i = 0; i < 4; i++) random.s[i] = splitmix64(&state);
  random.spare = NAN;
  return random;
}

static inline uint64_t rotate_left(uint64_t x, int by) { return (x << by) | (x >> (64 - by)); }

/* Uniform on [0, 1), from the top 53 bits. */
static inline double uniform(Random *random) {
  uint64_t *s = random->s;
  const uint64_t sum = s[0] + s[3];
  const uint64_t shifted = s[1] << 17;
  s[2] ^= s[0];
  s[3] ^= s[1];
  s[1] ^= s[2];
  s[0] ^= s[3];
  s[2] ^= shifted;
  s[3] = rotate_left(s[3], 45);
  return (double)(sum >> 11) * 0x1p-53;
}

/* Standard normal by the polar method (Marsaglia and Bray 1964): two normals from each accepted point. */
static inline double normal(Random *random) {
  if (!isnan(random->spare)) {
    const double spare = random->spare;
    random->spare = NAN;
    return spare;
  }
  double x, y, square;
  do {
    x = 2.0 * uniform(random) - 1.0;
    y = 2.0 * uniform(random) - 1.0;
    square = x * x + y * y;
  } while (square >= 1.0 || square == 0.0);
  const double factor = sqrt(-2.0 * log(square) / square);
  random->spare = y * factor;
  return x * factor;
}

/* Gamma(shape, 1), exact for shape >= 1 (Marsaglia and Tsang 2000, section 4). */
static inline double gamma_draw(Random *random, double shape) {
  const double d = shape - 1.0 / 3.0;
  const double c = 1.0 / sqrt(9.0 * d);
  for (;;) {
    const double x = normal(random);
    const double root = 1.0 + c * x;
    if (root <= 0.0) continue;
    const double v = root * root * root;
    const double u = uniform(random);
    const double square = x * x;
    if (u < 1.0 - 0.0331 * square * square) return d * v;
    if (log(u) < 0.5 * square + d * (1.0 - v + log(v))) return d * v;
  }
}

/* ---- the problem, and one run of each algorithm: they fill `pulls`. `random` comes by value, so that
 * its state can stay in registers ---- */

typedef struct {
  int arms;
  long horizon;
  double means[MAX_ARMS];
  double best;
  const double *bonus; /* bonus[t] = sqrt(2 ln t), t = 1 .. horizon; shared by all seeds of UCB1 */
} Problem;

/* UCB1 (Auer, Cesa-Bianchi and Fischer 2002, figure 1): index = mean + sqrt(2 ln t / n), each arm once first. */
static void ucb1(const Problem *problem, Random random, long *pulls) {
  const int arms = problem->arms;
  double mean[MAX_ARMS], inverse_root[MAX_ARMS];
  for (long t = 1; t <= problem->horizon; t++) {
    int arm = 0;
    if (t <= arms) {
      arm = (int)t - 1;
      mean[arm] = 0.0;
    } else {
      const double bonus = problem->bonus[t];
      double highest = mean[0] + bonus * inverse_root[0];
      for (int k = 1; k < arms; k++) {
        const double index = mean[k] + bonus * inverse_root[k];
        if (index > highest) {
          highest = index;
          arm = k;
        }
      }
    }
    const double reward = uniform(&random) < problem->means[arm] ? 1.0 : 0.0;
    const double inverse = 1.0 / (double)++pulls[arm];
    mean[arm] += (reward - mean[arm]) * inverse;
    inverse_root[arm] = sqrt(inverse);
  }
}

/* Thompson sampling for Bernoulli rewards, Beta(1, 1) priors (Agrawal and Goyal 2012, algorithm 1). */
static void thompson(const Problem *problem, Random random, long *pulls) {
  const int arms = problem->arms;
  double ones[MAX_ARMS], zeros[MAX_ARMS];
  for (int k = 0; k < arms; k++) ones[k] = zeros[k] = 1.0;
  for (long t = 0; t < problem->horizon; t++) {
    int arm = 0;
    double highest = -1.0;
    for (int k = 0; k < arms; k++) {
      const double x = gamma_draw(&random, ones[k]);
      const double y = gamma_draw(&random, zeros[k]);
      const double sample = x / (x + y);
      if (sample > highest) {
        highest = sample;
        arm = k;
      }
    }
    if (uniform(&random) < problem->means[arm])
      ones[arm] += 1.0;
    else
      zeros[arm] += 1.0;
    pulls[arm]++;
  }
}

/* The arm where u falls in the cumulative sum of the weights. */
static inline int inverse_cdf(const double *weights, int arms, double target) {
  int arm = 0;
  double sum = weights[0];
  while (arm < arms - 1 && sum <= target) sum += weights[++arm];
  return arm;
}

/* Exp3 with losses and a fixed rate: p ~ exp(-rate * estimated loss), rate = sqrt(2 ln K / (T K)), no mixing
 * (Auer et al. 2002; in this form Bubeck and Cesa-Bianchi 2012, theorem 3.1). All K weights are computed each round. */
static void exp3(const Problem *problem, Random random, long *pulls) {
  const int arms = problem->arms;
  const double rate = sqrt(2.0 * log((double)arms) / ((double)problem->horizon * arms));
  double losses[MAX_ARMS] = {0.0}, weights[MAX_ARMS];
  for (long t = 0; t < problem->horizon; t++) {
    double lowest = losses[0];
    for (int k = 1; k < arms; k++) lowest = losses[k] < lowest ? losses[k] : lowest;
    double total = 0.0;
    for (int k = 0; k < arms; k++) total += weights[k] = expf((float)(rate * (lowest - losses[k])));
    const int arm = inverse_cdf(weights, arms, uniform(&random) * total);
    if (uniform(&random) >= problem->means[arm]) losses[arm] += total / weights[arm];
    pulls[arm]++;
  }
}

/* The same law with the weights kept: one exponential a round at most, as only the arm that was pulled moves. */
static void exp3_cached(const Problem *problem, Random random, long *pulls) {
  const int arms = problem->arms;
  const double rate = sqrt(2.0 * log((double)arms) / ((double)problem->horizon * arms));
  double weights[MAX_ARMS];
  for (int k = 0; k < arms; k++) weights[k] = 1.0;
  for (long t = 0; t < problem->horizon; t++) {
    double total = 0.0;
    for (int k = 0; k < arms; k++) total += weights[k];
    if (total < 1e-200) { /* long before a weight that matters is lost */
      for (int k = 0; k < arms; k++) weights[k] /= total;
      total = 1.0;
    }
    const int arm = inverse_cdf(weights, arms, uniform(&random) * total);
    if (uniform(&random) >= problem->means[arm]) weights[arm] *= expf((float)(-rate * total / weights[arm]));
    pulls[arm]++;
  }
}

/* ---- seeds over threads ---- */

typedef void (*Algorithm)(const Problem *, Random, long *);

typedef struct {
  const Problem *problem;
  Algorithm algorithm;
  uint64_t root;
  long first, last;
  double *regrets;
} Share;

static void *run_share(void *argument) {
  const Share *share = argument;
  const Problem *problem = share->problem;
  for (long seed = share->first; seed < share->last; seed++) {
    long pulls[MAX_ARMS] = {0};
    share->algorithm(problem, random_from(share->root, (uint64_t)seed), pulls);
    double regret = 0.0;
    for (int k = 0; k < problem->arms; k++) regret += (double)pulls[k] * (problem->best - problem->means[k]);
    share->regrets[seed] = regret;
  }
  return NULL;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static int fail(int status, const char *text) {
  fprintf(stderr, "bandits: %s\n", text);
  return status;
}

int main(int count, char **words) {
  const char *usage = "usage: bandits ucb1|thompson|exp3|exp3_cached SEEDS HORIZON THREADS ROOT_SEED MEAN...";
  if (count < 7 || count - 6 > MAX_ARMS) return fail(2, usage);
  const struct { const char *name; Algorithm algorithm; } known[] = {
      {"ucb1", ucb1}, {"thompson", thompson}, {"exp3", exp3}, {"exp3_cached", exp3_cached}};
  Algorithm algorithm = NULL;
  for (size_t i = 0; i < sizeof known / sizeof *known; i++)
    if (strcmp(words[1], known[i].name) == 0) algorithm = known[i].algorithm;
  const long seeds = strtol(words[2], NULL, 10), horizon = strtol(words[3], NULL, 10);
  const long threads = strtol(words[4], NULL, 10);
  if (!algorithm || seeds < 1 || horizon < 1 || threads < 1 || threads > MAX_THREADS) return fail(2, usage);

  Problem problem = {.arms = count - 6, .horizon = horizon};
  for (int k = 0; k < problem.arms; k++) {
    problem.means[k] = strtod(words[6 + k], NULL);
    if (k == 0 || problem.means[k] > problem.best) problem.best = problem.means[k];
  }
  double *bonus = malloc(((size_t)horizon + 1) * sizeof *bonus);
  double *regrets = malloc((size_t)seeds * sizeof *regrets);
  if (!bonus || !regrets) return fail(1, "out of memory");

  const double start = now();
  for (long t = 1; t <= horizon; t++) bonus[t] = sqrt(2.0 * log((double)t));
  problem.bonus = bonus;
  pthread_t handles[MAX_THREADS];
  Share shares[MAX_THREADS];
  for (long i = 0; i < threads; i++) {
    shares[i] = (Share){&problem,  algorithm, strtoull(words[5], NULL, 10), seeds * i / threads, seeds * (i + 1) / threads,
                        regrets};
    if (pthread_create(&handles[i], NULL, run_share, &shares[i]) != 0) return fail(1, "cannot start a thread");
  }
  for (long i = 0; i < threads; i++) pthread_join(handles[i], NULL);
  const double seconds = now() - start;

  double mean = 0.0, squares = 0.0;
  for (long i = 0; i < seeds; i++) mean += regrets[i] / (double)seeds;
  for (long i = 0; i < seeds; i++) squares += (regrets[i] - mean) * (regrets[i] - mean);
  printf("{\"seconds\": %.9f, \"mean\": %.9g, \"variance\": %.9g}\n", seconds, mean,
         seeds > 1 ? squares / (double)(seeds - 1) : 0.0);
  free(regrets);
  free(bonus);
  return 0;
}
