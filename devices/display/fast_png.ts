/**
 * The npm package that encodes PNG. Apart from what uses it, which loads this file by its address when
 * the first screenshot is taken: what a module names is fetched before hv starts.
 */

export { encode } from "npm:fast-png@8.0.0";
