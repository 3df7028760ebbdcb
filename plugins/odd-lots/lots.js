// Round lots and quote conditions: what the tape says of a quote beside its prices.

/**
 * Shares in a round lot at this price, by Rule 600(b)(93) of Regulation NMS since November 2025. The rule takes last month's
 * average; a live price is nearly always in its tier.
 */
export function roundLot(price) {
  if (price <= 250) return 100;
  if (price <= 1_000) return 40;
  return price <= 10_000 ? 10 : 1;
}

/** Of the UTP and CTA quote specifications: conditions that change what a price is worth to somebody who looks at it. */
const MEANINGS = {
  A: ["slow_ask"],
  B: ["slow_bid"],
  H: ["slow_bid", "slow_ask"],
  I: ["imbalance"],
  O: ["opening"],
  C: ["closing"],
  F: ["fast"],
  X: ["fast"],
};

/** What a screen shows beside the price, each once, in order of the letters. One letter is for both sides. */
export function badges(conditions) {
  const found = [];
  for (const letter of conditions) {
    for (const badge of MEANINGS[letter] ?? []) {
      if (!found.includes(badge)) found.push(badge);
    }
  }
  return found;
}
