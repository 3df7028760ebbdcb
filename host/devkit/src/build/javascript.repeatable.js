// The first module of every plugin. Its engine has neither a clock nor random numbers: it would answer with the same value
// for ever. So whoever asks is told, also while the plugin is built.
const refused = (call, remedy) => () => {
  throw new Error(`${call} is not available in a plugin, because the same quotes must always give the same results. ${remedy}`);
};
const noClock = (call) => refused(call, "Use the quote's eventTime or receivedTime.");
const noRandom = (call) => refused(call, "Compute the value from the quotes or from the config.");
const replace = (object, name, value) => Object.defineProperty(object, name, { value, configurable: true, writable: true });

const RealDate = Date;
replace(globalThis, "Date", new Proxy(RealDate, {
  apply: noClock("Date()"),
  construct(target, values, newTarget) {
    if (values.length === 0) noClock("new Date()")();
    return Reflect.construct(target, values, newTarget);
  },
}));
replace(RealDate.prototype, "constructor", Date);
replace(RealDate, "now", noClock("Date.now()"));
if (globalThis.performance) replace(performance, "now", noClock("performance.now()"));

replace(Math, "random", noRandom("Math.random()"));
for (const name of ["getRandomValues", "randomUUID"]) {
  if (globalThis.crypto) replace(crypto, name, noRandom(`crypto.${name}()`));
}
